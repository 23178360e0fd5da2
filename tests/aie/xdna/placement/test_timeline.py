"""The schedule of a step, against schedules that are worked out by hand."""

from dataclasses import dataclass, replace

import pytest

from xdna.machines import Power
from xdna.placement.costs import Costs
from xdna.placement.energy import joules
from xdna.placement.npu_cost import NpuCost
from xdna.placement.product import HOST, NPU, Product
from xdna.placement.timeline import Node, timeline

PRODUCT = Product(1, 64, 64, 64)


@dataclass(frozen=True)
class Fixed:
    """Costs of every product, in whole seconds."""

    on_host: float = 7.0
    check: float = 0.0
    pack_bytes: tuple[int, int] = (0, 0)
    ddr_bytes: int = 0
    unpack_bytes: int = 0

    def cost(self, _):
        return NpuCost(
            pack=(1.0, 2.0),
            flush=(0.5, 0.5),
            submit=3.0,
            launch=1.0,
            array=10.0,
            flush_c=2.0,
            unpack=4.0,
            padding=1.0,
            ddr_bytes=self.ddr_bytes,
            pack_bytes=self.pack_bytes,
            unpack_bytes=self.unpack_bytes,
            check=self.check,
        )

    def seconds(self, _):
        return self.on_host


COSTS = Costs(Fixed(), Fixed(), Power(10.0, 15.0, 40.0), memory_bytes_per_second=1.0)


def product(*after, values=(-1, -1), times=1):
    return Node(after, PRODUCT, values, times=times)


def seconds(step, *sides):
    return timeline(step, sides, COSTS).seconds


def test_a_product_alone_takes_the_sum_of_its_parts():
    assert seconds([product()], NPU) == 24.0 == Fixed().cost(None).seconds
    assert seconds([product()], HOST) == 7.0
    assert seconds([product(times=3)], HOST) == 21.0


def test_what_waits_follows_and_what_does_not_runs_on_both_sides_at_once():
    assert seconds([product(), product(0)], NPU, HOST) == 24.0 + 7.0
    # The second packs the cores first: 4 s, then 7 s on the host, within the 24.
    assert seconds([product(), product()], NPU, HOST) == 24.0
    assert seconds([product(), product()], HOST, HOST) == 14.0


def test_runs_follow_each_other_while_the_host_packs_and_unpacks():
    # Packed at 4 and 8, submitted at 7 and 11; the array runs from 7 to 18 and to 29.
    assert seconds([product(), product()], NPU, NPU) == 29.0 + 6.0


def test_results_wait_for_the_cores():
    step = [product(), Node((), seconds=20.0, part="other")]
    # Packed until 4; other work until 24; then the result, which was there at 18.
    assert seconds(step, NPU, HOST) == 24.0 + 6.0


def test_array_and_cores_share_the_memory():
    """It delivers a byte a second here, whatever the lanes would take alone."""
    step = [product(), Node((), seconds=10.0, part="other")]
    # The array runs from 7 to 18, and other work from 4 to 14.
    free = replace(COSTS, npu=Fixed(ddr_bytes=0))
    assert timeline(step, [NPU, HOST], free).seconds == 24.0
    # Memory is at work for all of the array's 10 s, or for 6; the cores' 10 come first.
    busy = replace(COSTS, npu=Fixed(ddr_bytes=10))
    assert timeline(step, [NPU, HOST], busy).seconds == 14.0 + 10.0 + 6.0
    some = replace(COSTS, npu=Fixed(ddr_bytes=6))
    assert timeline(step, [NPU, HOST], some).seconds == 14.0 + 6.0 + 6.0
    # Alone, neither packing nor unpacking takes longer than its own bytes do.
    alone = replace(COSTS, npu=Fixed(pack_bytes=(1, 2), unpack_bytes=4))
    assert timeline([product()], [NPU], alone).seconds == 24.0
    slow = replace(COSTS, npu=Fixed(pack_bytes=(3, 5), unpack_bytes=9))
    assert timeline([product()], [NPU], slow).seconds == 24.0 + 4.0 + 3.0


def test_an_image_is_packed_once_for_all_products_of_its_value():
    own = [product(values=(1, 2)), product(0, values=(3, 4))]
    shared = [product(values=(1, 2)), product(0, values=(1, 5))]
    assert seconds(own, NPU, NPU) == 48.0
    assert seconds(shared, NPU, NPU) == 48.0 - 1.5
    # On the host nothing is packed for the other.
    assert seconds(shared, HOST, NPU) == 7.0 + 24.0


def test_other_work_occupies_the_cores():
    work = Node((), seconds=5.0, part="other")
    result = timeline([work, product()], [HOST, NPU], COSTS)
    assert result.seconds == 5.0 + 24.0
    assert result.parts["other"] == 5.0
    assert sum(result.parts.values()) == 29.0


def test_joules_are_those_of_what_is_at_work():
    result = timeline([product()], [NPU], replace(COSTS, npu=Fixed(check=2.0)))
    # Packing, checking and unpacking take all cores.
    assert (result.cpu, result.array) == (4.0 + 2.0 + 6.0, 11.0)
    expected = 26.0 * 10.0 + 12.0 * 30.0 + 11.0 * 5.0
    assert joules(COSTS.power, result.seconds, 12.0, 11.0) == pytest.approx(expected)
    assert joules(Power(10.0, None, 40.0), 1.0, 1.0, 0.0) is None
