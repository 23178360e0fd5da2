"""Streams of the GEMM array: legal, complete, and the schedule that was planned.

The model of the array: each core takes tiles from the streams of its A row and its B
column, in the order in which the transfers read DDR.
"""

import collections
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdna.gemm import runs
from xdna.gemm.array import (
    A_ARGUMENT,
    A_CHANNEL,
    B_ARGUMENT,
    B_CHANNEL,
    C_ARGUMENT,
    C_CHANNEL,
    GemmArray,
)
from xdna.gemm.stream import (
    decode_schedule,
    fed_by,
    image_bytes,
    run_words,
    schedule,
)
from xdna.gemm.tiling import make_plan
from xdna.stream.check import check_stream

SMALL = {"m": 32, "k": 8, "n": 16}  # a small tile: many blocks in little memory
EXTREMES = [(1, 1, 1), (1, 64, 512), (512, 64, 1)] + [
    tuple(100_000 if i == d else 1 for i in range(3)) for d in range(3)
]


def addresses(transfer, element_bytes):
    """Elements that a transfer reads or writes, in order."""
    elements = 4 // element_bytes
    words = np.zeros(1, np.int64)
    for size, stride in zip(transfer.sizes, transfer.strides):
        words = (words[:, None] + np.arange(size) * stride).reshape(-1)
    words = words + transfer.offset_bytes // 4
    return (words[:, None] * elements + np.arange(elements)).reshape(-1)


def run_on_model(plan, run, a, b):
    """C's image, and how often each of its elements was written."""
    array, planned = plan.array, schedule(plan, run)
    streams = collections.defaultdict(list)
    written = collections.defaultdict(list)
    for transfer in planned.transfers:
        if transfer.argument == C_ARGUMENT:
            assert (transfer.direction, transfer.channel) == ("S2MM", C_CHANNEL)
            assert transfer.token
            written[transfer.column].append(addresses(transfer, array.out_bytes))
            continue
        image = {A_ARGUMENT: a, B_ARGUMENT: b}[transfer.argument]
        assert transfer.direction == "MM2S"
        key = transfer.column, transfer.channel
        streams[key].append(image[addresses(transfer, 2)])
    parameters = planned.parameters
    tiles, k_steps = parameters.num_tiles, parameters.k_steps
    a_rows = [
        np.concatenate(streams[column, A_CHANNEL]).reshape(
            tiles, k_steps, array.m, array.k
        )
        for column in array.a_columns
    ]
    c = np.zeros(image_bytes(plan, run)[2] // array.out_bytes)
    count = np.zeros(c.shape, int)
    for column in range(array.num_columns):
        b_tiles = np.concatenate(streams[column, B_CHANNEL])
        if array.b_column_major:
            b_tiles = b_tiles.reshape(tiles, k_steps, array.n, array.k)
            b_tiles = b_tiles.swapaxes(2, 3)
        else:
            b_tiles = b_tiles.reshape(tiles, k_steps, array.k, array.n)
        joined = np.stack([(x @ b_tiles).sum(axis=1) for x in a_rows], axis=1)
        places = np.concatenate(written[column])
        c[places] = joined.reshape(-1)
        np.add.at(count, places, 1)
    return c, count


def check_run(plan, run, rng):
    array, (batch, rows, columns) = plan.array, run.grid
    m, n, k = rows * array.block_m, columns * array.block_n, plan.padded_k
    a = rng.integers(-3, 4, (batch, m, k))
    b = rng.integers(-3, 4, (batch, n, k) if array.b_column_major else (batch, k, n))
    c, count = run_on_model(plan, run, a.reshape(-1), b.reshape(-1))
    assert (count == 1).all()
    right = b.swapaxes(1, 2) if array.b_column_major else b
    np.testing.assert_array_equal(c.reshape(batch, m, n), a @ right)


def check_words(plan, run):
    words = run_words(plan, run)
    check_stream(
        words,
        plan.array.device,
        argument_bytes=image_bytes(plan, run),
        fed_by=fed_by(plan.array),
    )
    assert decode_schedule(plan.array, words) == schedule(plan, run)
    return words


@settings(max_examples=60, deadline=None)
@given(
    device=st.sampled_from(["npu1", "npu2"]),
    out=st.sampled_from(["float32", "bfloat16"]),
    b_column_major=st.booleans(),
    sizes=st.tuples(st.integers(1, 3), *[st.integers(1, 300)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_tile_gets_its_inputs_and_c_is_written_once(
    device, out, b_column_major, sizes, seed
):
    array = GemmArray(device, **SMALL, out=out, b_column_major=b_column_major)
    plan = make_plan(array, *sizes)
    for run in plan.runs:
        check_run(plan, run, np.random.default_rng(seed))
        check_words(plan, run)


@pytest.mark.parametrize(
    "sizes", [(1, 128, 8, 4500), (1, 8300, 8, 64), (150, 64, 8, 64), (2, 250, 8, 4300)]
)
def test_more_blocks_than_a_transfer_iterates_take_several_steps(sizes, rng):
    plan = make_plan(GemmArray("npu1", **SMALL), *sizes)
    (run,) = plan.runs
    assert run.num_steps > 1
    check_run(plan, run, rng)
    check_words(plan, run)


def test_a_gemm_in_several_runs_is_right_in_each(rng, monkeypatch):
    monkeypatch.setattr(runs, "MAX_IMAGE_BYTES", 1 << 15)
    plan = make_plan.__wrapped__(GemmArray("npu1", **SMALL), 3, 200, 20, 250)
    assert len(plan.runs) > 4
    for run in plan.runs:
        check_run(plan, run, rng)
        check_words(plan, run)


@pytest.mark.parametrize("device", ["npu1", "npu2"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("tile", [(64, 64, 64), (64, 64, 32)])
def test_extremes_plan_encode_verify_and_decode(device, batch, tile):
    array = GemmArray(device, *tile)
    for sizes in EXTREMES:
        plan = make_plan(array, batch, *sizes)
        for run in plan.runs:
            check_words(plan, run)


@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_gpt2_shapes_plan_encode_verify_and_decode(device, gpt2_shape):
    plan = make_plan(GemmArray(device, 64, 64, 64), 1, *gpt2_shape)
    for run in plan.runs:
        check_words(plan, run)


@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_amds_assembler_takes_the_streams(device, gpt2_shape, assert_aiebu_accepts):
    plan = make_plan(GemmArray(device, 64, 64, 64), 1, *gpt2_shape)
    for run in plan.runs:
        assert_aiebu_accepts(run_words(plan, run))


@pytest.mark.parametrize("device", ["npu1", "npu2"])
@pytest.mark.parametrize("b_column_major", [False, True])
def test_random_shapes_plan_encode_verify_and_decode(device, b_column_major):
    rng = random.Random(7)
    array = GemmArray(device, 64, 64, 64, b_column_major=b_column_major)
    for _ in range(200):
        sizes = [int(2 ** rng.uniform(0, 12)) for _ in range(3)]
        plan = make_plan(array, rng.randint(1, 3), *sizes)
        for run in plan.runs:
            check_words(plan, run)


@pytest.mark.parametrize("tile", [(256, 8, 16), (16, 256, 16), (16, 8, 256)])
def test_the_longest_tiles_that_fit_a_core_have_streams(tile, rng):
    plan = make_plan(GemmArray("npu1", *tile), 1, 1100, 70, 300)
    for run in plan.runs:
        check_run(plan, run, rng)
        check_words(plan, run)


def test_the_first_inputs_go_ahead_of_the_parameters():
    plan = make_plan(GemmArray("npu1", 64, 64, 64), 1, 256, 768, 2304)
    (run,) = plan.runs
    words = run_words(plan, run)
    # 8 transfers of 30 words behind the header, then the first parameter of core (0, 2)
    assert (
        words[4 + 8 * 30 + 2] == 2 << 20 | plan.array.core_buffers["parameters"].address
    )
