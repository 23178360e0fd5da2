"""What a product on the NPU costs: its parts agree with the plan and the counters."""

import pytest

from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.array import default_array
from xdna.gemm.forecast import forecast
from xdna.gemm.tiling import make_plan
from xdna.machines import MACHINES
from xdna.placement.host_cost import ProfileHost
from xdna.placement.host_side import HostSide
from xdna.placement.npu_cost import NpuModel, c_image_bytes, image_bytes
from xdna.placement.product import Product
from xdna.timing import timing


def model_of(machine):
    return NpuModel(
        default_array(machine.device),
        timing(machine.device, machine),
        arithmetic_of_chip(machine.device),
        HostSide.of(machine.cpu),
    )


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("sizes", [(1, 256, 768, 2304), (12, 64, 64, 64)], ids=str)
def test_array_and_launches_are_those_of_the_plan(machine, sizes):
    model = model_of(machine)
    cost = model.cost(Product(*sizes))
    plan = make_plan(model.array, *sizes)
    expected = forecast(plan, model.times, model.arithmetic)
    on_array = cost.submit + cost.launch + cost.array
    assert on_array == pytest.approx(expected.seconds)
    assert cost.padding == plan.padding
    assert cost.ddr_bytes == plan.all_ddr_bytes


def test_images_are_those_of_the_operands_whatever_way_round_the_plan_is():
    array = default_array("npu1")
    for m, n in (256, 768), (768, 256):
        plan = make_plan(array, 3, m, 512, n)
        assert image_bytes(plan) == (3 * m * 512 * 2, 3 * 512 * n * 2)
        assert c_image_bytes(plan) == 3 * m * n * 4


def test_padding_is_packed_too():
    plan = make_plan(default_array("npu1"), 1, 100, 100, 100)
    a, b = image_bytes(plan)
    assert min(a, b) > 100 * 100 * 2
    assert c_image_bytes(plan) == 256 * 256 * 4


def test_passes_make_k_longer():
    model = model_of(MACHINES["7940hs"])
    once, thrice = (
        model.cost(Product(1, 256, 768, 256, passes=passes)) for passes in (1, 3)
    )
    assert thrice.pack[0] == pytest.approx(3 * once.pack[0])
    assert thrice.array > 2 * once.array
    assert thrice.unpack == once.unpack


def test_the_host_has_its_rate_for_large_products_and_memorys_for_rows():
    cpu = MACHINES["7940hs"].cpu
    host = ProfileHost(cpu)
    large = Product(1, 4096, 4096, 4096)
    rate = large.flops / host.seconds(large)
    assert rate == pytest.approx(cpu.cores * cpu.gflops_per_core * 1e9, rel=0.01)
    row = Product(1, 1, 4096, 4096)
    assert host.seconds(row) > row.b_source_bytes / cpu.memory_bytes_per_second
