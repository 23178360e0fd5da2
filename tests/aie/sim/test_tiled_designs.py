"""Designs of every kind of image, run on the virtual NPU, compute A B.

One array computes several GEMMs in a row: the ring of a resident operand must be where
the next run expects it, whatever the last one was.
"""

import numpy as np
import pytest

from xdna.gemm.array import GemmArray
from xdna.gemm.resident import end_of_period, starts_of_passes
from xdna.gemm.tiling import make_plan
from xdna.simulator import Trap, VirtualNpu
from xdna.simulator.gemm import largest_error, random_operands, result, submissions

ORDERS = [(a, b) for a in ("mk", "km") for b in ("kn", "nk")]
TILED = {"images": "tiles", "parts": 4, "resident_slots": 6}
NPU1 = {"m": 64, "k": 128, "n": 64, **TILED}
NPU2 = {"m": 64, "k": 64, "n": 96, **TILED}
DESIGNS = {
    "passing": ("npu1", NPU1),
    "resident a": ("npu1", NPU1 | {"resident": "a"}),
    "resident b": ("npu1", NPU1 | {"resident": "b"}),
    "whole rows, one C": ("npu1", NPU1 | {"k": 64, "parts": 1, "c_buffers": 1}),
    "odd parts, two C": ("npu1", NPU1 | {"m": 48, "k": 64, "parts": 3}),
    "slices": ("npu1", {**NPU1, "k": 32, "k_slice": 64, "resident": "a"}),
    "bf16 results": ("npu1", NPU1 | {"out": "bfloat16", "n": 32}),
    "npu2": ("npu2", NPU2),
    "npu2, resident b": ("npu2", NPU2 | {"resident": "b", "resident_slots": 4}),
}
# One that fills the ring of k = 768, one of three blocks, several that do not fill it,
# several periods, batches and edges.
SIZES = [
    (1, 256, 768, 768),
    (1, 100, 70, 300),
    (1, 768, 256, 512),
    (2, 256, 768, 512),
    (1, 300, 500, 200),
    (1, 512, 256, 1600),
]


def run(npu, array, sizes, orders=("mk", "kn"), seed=0):
    """Largest error, its bound, the operands that were resident, bytes from DDR."""
    plan = make_plan(array, *sizes, *orders)
    a, b = random_operands(plan, seed)
    runs = list(submissions(plan, a, b))
    read = 0
    for one in runs:
        read += npu.run(one.words, one.buffers).bytes["ddr_read"]
    error, bound = largest_error(a, b, result(plan, runs), "exact")
    return error, bound, {one.resident for one in plan.runs}, read, plan


@pytest.mark.parametrize("name", DESIGNS)
def test_gemms_in_a_row_are_right_in_every_order(configured, name):
    device, fields = DESIGNS[name]
    array = GemmArray(device, **fields)
    npu = VirtualNpu(configured(array))
    for i, sizes in enumerate(SIZES):
        orders = ORDERS[i % len(ORDERS)]
        error, bound, _, read, plan = run(npu, array, sizes, orders, seed=i)
        assert error <= bound, (sizes, orders)
        planned = plan.ddr_bytes["a"] + plan.ddr_bytes["b"]
        # Slices that are passed over come on top.
        assert planned <= read <= planned + 4 * 12 * 64 * 64 * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("orders", ORDERS)
def test_random_gemms_in_a_row_are_right(configured, name, orders):
    device, fields = DESIGNS[name]
    array = GemmArray(device, **fields)
    npu = VirtualNpu(configured(array))
    rng = np.random.default_rng(1)
    for seed in range(12):
        sizes = int(rng.integers(1, 3)), *(int(x) for x in rng.integers(1, 900, 3))
        error, bound, *_ = run(npu, array, sizes, orders, seed)
        assert error <= bound, sizes


def test_a_resident_operand_is_read_once(configured):
    sizes = 1, 256, 768, 2304
    read = {}
    for resident in ("", "a"):
        array = GemmArray("npu1", **NPU1, resident=resident)
        npu = VirtualNpu(configured(array))
        _, _, found, read[resident], plan = run(npu, array, sizes)
        assert found == {resident}
        _, m, k, n = sizes
        assert plan.ddr_bytes["b"] == k * n * 2
        assert plan.ddr_bytes["a"] == m * k * 2 * (1 if resident else 9)
    assert read["a"] == 2 * (256 * 768 + 768 * 2304)


def without(words, part):
    """The stream without operations that stand together in it, header included."""
    text, left_out = words.tobytes(), part.tobytes()
    assert text.count(left_out) == 1
    words = np.frombuffer(text.replace(left_out, b""), np.uint32).copy()
    words[2] -= len(part)
    words[3] = words.nbytes
    return words


def test_free_locks_that_are_not_set_back_let_the_next_run_overwrite_slots(configured):
    array = GemmArray("npu1", **NPU1, resident="a")
    npu = VirtualNpu(configured(array))
    plan = make_plan(array, 1, 256, 768, 2304)
    (one,) = submissions(plan, *random_operands(plan))
    npu.run(without(one.words, end_of_period(array)), one.buffers)
    try:
        error, bound, found, *_ = run(npu, array, (1, 256, 3072, 256))
    except Trap:
        return
    assert found == {""}
    assert error > bound


def test_passes_that_are_not_started_are_a_deadlock(configured):
    array = GemmArray("npu1", **NPU1, resident="a")
    npu = VirtualNpu(configured(array))
    plan = make_plan(array, 1, 256, 768, 2304)
    (one,) = submissions(plan, *random_operands(plan))
    with pytest.raises(Trap, match="deadlock"):
        npu.run(without(one.words, starts_of_passes(array, 8)), one.buffers)


ROWS = {
    "packed B": {"images": "packed_b"},
    "slices of rows": {"k_slice": 64},
    "slices, B column-major": {"k_slice": 128, "b_column_major": True},
    "packed B in slices": {"k_slice": 96, "images": "packed_b"},
}


@pytest.mark.parametrize("device", ["npu1", "npu2"])
@pytest.mark.parametrize("name", ROWS)
def test_row_major_images_in_long_slices_are_right(configured, device, name):
    array = GemmArray(device, 32, 32, 32, **ROWS[name])
    npu = VirtualNpu(configured(array), b_column_major=array.b_column_major)
    for i, sizes in enumerate([(1, 200, 300, 150), (2, 65, 64, 129)]):
        error, bound, *_ = run(npu, array, sizes, seed=i)
        assert error <= bound
