"""Plans: any size, few runs, and no surprise about padding."""

import random

import pytest

from xdna.gemm.array import GemmArray
from xdna.gemm.runs import DIMENSIONS, Run
from xdna.gemm.tiling import make_plan

DEVICES = ["npu1", "npu2"]


@pytest.mark.parametrize("device", DEVICES)
def test_a_gpt2_gemm_is_one_run_with_little_padding(device, gpt2_shape):
    plan = make_plan(GemmArray(device, 64, 64, 64), 1, *gpt2_shape)
    assert len(plan.runs) == 1
    assert plan.padding < 1.34
    assert not plan.notices


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(20))
def test_runs_cover_every_block_once(device, seed):
    rng = random.Random(seed)
    sizes = [rng.choice([1, 7, 300, 5000, 100_000]) for _ in range(3)]
    plan = make_plan(GemmArray(device, 64, 64, 64), rng.randint(1, 3), *sizes)
    covered = {}
    for run in plan.runs:
        for axis, (start, size) in enumerate(zip(run.start, run.grid)):
            assert 0 <= start < start + size <= plan.blocks[axis]
        covered[run.start] = run.num_tiles
    assert len(covered) == len(plan.runs)
    assert sum(covered.values()) == plan.padded.macs // (
        plan.array.block_m * plan.array.block_n * plan.padded_k
    )


# Cores, multiply-adds a cycle of each (npu2: exact mode), lowest clock, DDR bytes per
# second at 128-byte runs: the worst that a run of less than 2 s must bear.
WORST = {
    "npu1": (16, 0.377 * 128, 0.8e9, 16e9),
    "npu2": (32, 0.377 * 32, 0.792e9, 34e9),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (1, 768, 50304), (16384, 32768, 16384), (100_000,) * 3]
    + [tuple(100_000 if i == d else 1 for i in range(3)) for d in range(3)],
)
def test_runs_stay_within_time_and_memory(device, shape):
    plan = make_plan(GemmArray(device, 64, 64, 64), 1, *shape)
    num_cores, macs_per_cycle, clock_hz, ddr_rate = WORST[device]
    block_macs = plan.array.block_m * plan.array.block_n * plan.padded_k
    block_bytes = 2 * (plan.array.block_m + plan.array.block_n) * plan.padded_k
    for run in plan.runs:
        macs = run.num_tiles * block_macs
        assert macs / (num_cores * macs_per_cycle * clock_hz) < 2.0
        assert run.num_tiles * block_bytes / ddr_rate < 2.0
        _, rows, columns = run.grid
        assert rows * plan.array.block_m * plan.padded_k * 2 <= 1 << 30
        assert columns * plan.array.block_n * plan.padded_k * 2 <= 1 << 30


def test_steps_visit_every_block_of_a_run_once():
    for along in DIMENSIONS:
        run = Run((0, 0, 0), (2, 3, 130), along)
        points = []
        for step in run.steps():
            for i in range(step.num_blocks):
                moved = list(step.start)
                moved[DIMENSIONS.index(along)] += i
                points.append(tuple(moved))
        assert len(points) == len(set(points)) == run.num_tiles
        assert len(list(run.steps())) == run.num_steps


def test_a_column_vector_is_turned_to_pad_less():
    array = GemmArray("npu2", 64, 64, 64)  # blocks of 256 x 512
    assert make_plan(array, 1, 512, 64, 1).swapped
    assert not make_plan(array, 1, 1, 64, 512).swapped


def test_much_padding_does_not_go_unnoticed():
    (notice,) = make_plan(GemmArray("npu1", 64, 64, 64), 1, 1, 64, 256).notices
    assert "256.0" in notice


def test_batches_share_a_transfer():
    plan = make_plan(GemmArray("npu1", 64, 64, 64), 48, 64, 64, 64)
    assert [(run.along, run.num_steps) for run in plan.runs] == [("batch", 1)]


@pytest.mark.parametrize(
    ("sizes", "name"),
    [((0, 1, 1, 1), "batch"), ((1, 0, 1, 1), "m"), ((1, 1, 0, 1), "k")],
)
def test_empty_sizes_are_refused_by_name(sizes, name):
    with pytest.raises(ValueError, match=f"at least 1, got {name} = 0"):
        make_plan(GemmArray("npu1", 64, 64, 64), *sizes)


def test_a_k_too_long_for_one_run_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="sum products over parts of k"):
        make_plan(GemmArray("npu1", 64, 64, 64), 1, 1, 10_000_000, 1)


def test_orders_follow_the_operands_and_change_no_run():
    array = GemmArray("npu2", 64, 64, 64)
    plain, turned = (
        make_plan(array, 1, 512, 64, 1, *orders)
        for orders in (("mk", "kn"), ("km", "nk"))
    )
    assert plain.runs == turned.runs
    assert (plain.gemm.a_order, plain.gemm.b_order) == ("km", "nk")  # swapped
    assert (turned.gemm.a_order, turned.gemm.b_order) == ("mk", "kn")
    with pytest.raises(ValueError, match="b_order must be kn or nk, got 'mn'"):
        make_plan(array, 1, 1, 1, 1, b_order="mn")


@pytest.mark.parametrize(
    ("device", "sizes"),
    [("npu1", (96, 716, 53333, 1927)), ("npu2", (2, 4359, 5144, 1695))],
)
def test_strides_past_the_limit_split_the_work(device, sizes):
    plan = make_plan(GemmArray(device, 64, 64, 64, b_column_major=True), *sizes)
    assert len(plan.runs) > 1


def test_a_product_of_too_many_runs_is_refused():
    with pytest.raises(ValueError, match="multiply parts of it"):
        make_plan(GemmArray("npu1", 64, 64, 64), 1, 10**20, 1, 1)
