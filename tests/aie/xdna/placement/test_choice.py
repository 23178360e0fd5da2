"""Placement is never worse than either side alone, on any machine and any step."""

import random
from dataclasses import replace

import pytest

from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.array import default_array
from xdna.machines import MACHINES, Power
from xdna.placement.choice import best_placement, score_of, sides_of
from xdna.placement.costs import Costs, require_power
from xdna.placement.host_cost import ProfileHost
from xdna.placement.host_side import HostSide
from xdna.placement.npu_cost import NpuModel
from xdna.placement.product import HOST, NPU, Product, Sizes
from xdna.placement.timeline import Node, timeline
from xdna.timing import timing

SIZES = (1, 7, 64, 256, 300, 768, 1024, 2304, 4096)


def machine_costs(draw):
    """Both sides of a machine, with numbers up to ten times off a profile's."""
    machine = draw.choice(list(MACHINES.values()))
    factor = [10 ** draw.uniform(-1, 1) for _ in range(4)]
    cpu = replace(
        machine.cpu,
        cores=draw.randint(1, 16),
        gflops_per_core=machine.cpu.gflops_per_core * factor[0],
        memory_bytes_per_second=machine.cpu.memory_bytes_per_second * factor[1],
    )
    machine = replace(
        machine,
        cpu=cpu,
        power=Power(*sorted(draw.uniform(1, 60) for _ in range(3))),
        ddr_bytes_per_second=machine.ddr_bytes_per_second * factor[2],
        launch_seconds=machine.launch_seconds * factor[3],
    )
    npu = NpuModel(
        default_array(machine.device),
        timing(machine.device, machine),
        arithmetic_of_chip(machine.device),
        HostSide.of(cpu),
    )
    rate = cpu.memory_bytes_per_second
    return Costs(npu, ProfileHost(cpu), machine.power, rate)


def random_step(draw):
    """Products and other work, each after some that came before, with shared values."""
    kinds = [
        Product(draw.choice((1, 1, 1, 12)), *(draw.choice(SIZES) for _ in range(3)))
        for _ in range(draw.randint(1, 6))
    ]
    step = []
    for index in range(draw.randint(1, 30)):
        before = range(max(0, index - 4), index)
        after = tuple(draw.sample(before, draw.randint(0, min(2, len(before)))))
        if draw.random() < 0.2:
            step.append(Node(after, seconds=draw.uniform(0, 2e-3)))
            continue
        values = draw.randint(0, 9), draw.randint(10, 19)
        times = draw.choice((1, 1, 5))
        step.append(Node(after, draw.choice(kinds), values, times=times))
    return step


def all_on(step, side):
    return {node.product.sizes: side for node in step if node.product}


def score(step, placement, costs, objective):
    result = timeline(step, sides_of(step, placement), costs)
    return score_of(result, costs, objective)


@pytest.mark.parametrize("objective", ["time", "energy"])
@pytest.mark.parametrize("seed", range(25))
def test_placement_is_never_worse_than_a_side_alone(seed, objective):
    draw = random.Random(f"{seed} {objective}")
    costs, step = machine_costs(draw), random_step(draw)
    placed = score(step, best_placement(step, costs, objective), costs, objective)
    for side in NPU, HOST:
        alone = score(step, all_on(step, side), costs, objective)
        assert placed <= alone * (1 + 1e-12)


def test_it_is_often_better_than_both():
    """So that the claim above is not met by one of the sides."""
    better = 0
    for seed in range(25):
        draw = random.Random(f"better {seed}")
        costs, step = machine_costs(draw), random_step(draw)
        placed = score(step, best_placement(step, costs), costs, "time")
        alone = [score(step, all_on(step, s), costs, "time") for s in (NPU, HOST)]
        better += placed < 0.98 * min(alone)
    assert better >= 5


def test_forced_sizes_stay_where_they_are():
    draw = random.Random("forced")
    costs, step = machine_costs(draw), random_step(draw)
    free = best_placement(step, costs)
    forced = {sizes: HOST if side == NPU else NPU for sizes, side in free.items()}
    assert best_placement(step, costs, "time", forced) == forced


def test_what_the_array_cannot_compute_is_on_the_host():
    costs = machine_costs(random.Random("too long"))
    too_long = Product(1, 64, 1 << 30, 64)
    assert costs.npu.cost(too_long) is None
    assert costs.alone(too_long, "time") == HOST
    assert best_placement([Node((), too_long)], costs) == {
        Sizes(1, 64, 1 << 30, 64): HOST
    }


def test_energy_without_watts_is_one_clear_line():
    with pytest.raises(ValueError, match=r"needs the watts of 7940hs.*objective time"):
        require_power("7940hs", MACHINES["7940hs"].power)
    require_power("hx370", MACHINES["hx370"].power)
