"""The shim transfers of a run: which part of an image each step moves, and how.

Each step is one transfer a shim channel, with a buffer descriptor (BD) of its own.
Transfers are computed for all steps at once, as arrays of shape (steps, columns).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xdna.devices import QUEUE_DEPTH, WORD_BYTES
from xdna.gemm.array import (
    A_ARGUMENT,
    A_CHANNEL,
    B_ARGUMENT,
    B_CHANNEL,
    C_ARGUMENT,
    C_CHANNEL,
    INPUT_BYTES,
)
from xdna.gemm.runs import Run, along_strides
from xdna.gemm.tiling import Plan
from xdna.stream.shim_bd import ShimTransfers

STEPS_IN_FLIGHT = QUEUE_DEPTH


def run_transfers(plan: Plan, run: Run) -> tuple[ShimTransfers, ShimTransfers]:
    """The transfers of A and B, and those of C, step by step."""
    points, counts = (np.array(part) for part in zip(*run.steps()))
    grid_points = _GridPoints(*(part[:, None] for part in points.T))
    operands = [operand(plan, run, grid_points) for operand in (_a, _b, _c)]
    along = along_strides(plan.array, plan.padded_k, run.grid, run.along)
    a, b, c = (
        _transfers(operand, counts, stride) for operand, stride in zip(operands, along)
    )
    return _side_by_side([a, b]), _side_by_side([c])


class _GridPoints(NamedTuple):
    """The first grid point of every step, (steps, 1) each."""

    batch: np.ndarray
    row: np.ndarray
    column: np.ndarray


class _Operand(NamedTuple):
    """One operand's transfers for a single grid point, in elements."""

    argument: int
    direction: str
    channel: int
    element_bytes: int
    columns: np.ndarray  # shims that move it, (columns,)
    offsets: np.ndarray  # first element in the image, (steps, columns)
    # Three dimensions, outermost first. The iteration of a step is a fourth.
    sizes: tuple[int, int, int]
    strides: tuple[int, int, int]


def _a(plan: Plan, run: Run, points: _GridPoints) -> _Operand:
    """A (batch, m, k): each core row's m rows as tiles (m, k), from left to right."""
    array, k = plan.array, plan.padded_k
    m = run.grid[1] * array.block_m
    core_rows = np.arange(array.num_rows)
    first_row = points.batch * m + points.row * array.block_m + core_rows * array.m
    return _Operand(
        argument=A_ARGUMENT,
        direction="MM2S",
        channel=A_CHANNEL,
        element_bytes=INPUT_BYTES,
        columns=np.array(array.a_columns),
        offsets=first_row * k,
        sizes=(plan.k_steps, array.m, array.k),
        strides=(array.k, k, 1),
    )


def _b(plan: Plan, run: Run, points: _GridPoints) -> _Operand:
    """B (batch, k, n) or (batch, n, k): each column's n columns, tile after tile."""
    array, k = plan.array, plan.padded_k
    n = run.grid[2] * array.block_n
    columns = np.arange(array.num_columns)
    first_column = points.column * array.block_n + columns * array.n
    if array.b_column_major:  # tiles (n, k), from left to right
        offsets = (points.batch * n + first_column) * k
        sizes, strides = (plan.k_steps, array.n, array.k), (array.k, k, 1)
    else:
        # Tiles (k, n) from top to bottom are all k rows. They go into the outermost
        # dimension, whose size has no limit.
        offsets = points.batch * k * n + first_column
        sizes, strides = (k, 1, array.n), (n, 0, 1)
    return _Operand(
        argument=B_ARGUMENT,
        direction="MM2S",
        channel=B_CHANNEL,
        element_bytes=INPUT_BYTES,
        columns=columns,
        offsets=offsets,
        sizes=sizes,
        strides=strides,
    )


def _c(plan: Plan, run: Run, points: _GridPoints) -> _Operand:
    """C (batch, m, n): each column's part (block_m, n) of a block, row by row."""
    array = plan.array
    m, n = run.grid[1] * array.block_m, run.grid[2] * array.block_n
    columns = np.arange(array.num_columns)
    first_row = points.batch * m + points.row * array.block_m
    first_column = points.column * array.block_n + columns * array.n
    return _Operand(
        argument=C_ARGUMENT,
        direction="S2MM",
        channel=C_CHANNEL,
        element_bytes=array.out_bytes,
        columns=columns,
        offsets=first_row * n + first_column,
        sizes=(array.block_m, 1, array.n),
        strides=(n, 0, 1),
    )


def _transfers(
    operand: _Operand, counts: np.ndarray, along_stride: int
) -> ShimTransfers:
    """One operand's transfers, (steps, columns): elements become words.

    `counts` are the grid points of each step, `along_stride` the elements from one to
    the next.
    """
    shape = operand.offsets.shape
    # BDs 0-3 are A's, 4-7 B's and 8-11 C's, one for each step in flight.
    slots = np.arange(shape[0])[:, None] % STEPS_IN_FLIGHT
    bd_ids = operand.argument * STEPS_IN_FLIGHT + slots
    per_word = WORD_BYTES // operand.element_bytes  # elements
    *sizes, run_length = operand.sizes
    *strides, _ = operand.strides  # the innermost is 1 in words too
    return ShimTransfers(
        column=np.broadcast_to(operand.columns, shape),
        direction=np.full(shape, operand.direction),
        channel=np.full(shape, operand.channel),
        bd_id=np.broadcast_to(bd_ids, shape),
        argument=np.full(shape, operand.argument),
        offset_bytes=operand.offsets * operand.element_bytes,
        sizes=_fields(shape, counts[:, None], (*sizes, run_length // per_word)),
        strides=_fields(
            shape,
            along_stride // per_word,
            (*(stride // per_word for stride in strides), 1),
        ),
        token=np.full(shape, operand.argument == C_ARGUMENT),
    )


def _fields(
    shape: tuple[int, ...], iteration: np.ndarray | int, inner: Sequence[int]
) -> np.ndarray:
    """Sizes or strides of every transfer, (steps, columns, 4)."""
    fields = np.empty((*shape, 4), np.int64)
    fields[..., 0] = iteration
    fields[..., 1:] = inner
    return fields


def _side_by_side(operands: Sequence[ShimTransfers]) -> ShimTransfers:
    """All operands' transfers of the first step, then of the second, and so on."""
    # (steps, columns of A + columns of B, ...) to (transfers, ...)
    joined = [np.concatenate(parts, axis=1) for parts in zip(*operands)]
    return ShimTransfers(*(part.reshape(-1, *part.shape[2:]) for part in joined))
