"""The instruction words of a run of the GEMM array, and the schedule back from words.

Each step is one transfer a shim channel, with BDs of its own; four steps are in flight,
as many as a channel queues. C's transfer sends a token, which proves that A and B of
the same step have been read, so its BDs are free again. The first A and B go ahead of
the cores' parameters: DDR is slow to start.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import (
    CORE,
    FIRST_CORE_ROW,
    LOCK_STRIDE_BYTES,
    QUEUE_DEPTH,
    SHIM_ROW,
    WORD_BYTES,
)
from xdna.gemm.array import (
    A_ARGUMENT,
    A_CHANNEL,
    B_ARGUMENT,
    B_CHANNEL,
    C_ARGUMENT,
    C_CHANNEL,
    GO_LOCK,
    INPUT_BYTES,
    NUM_K_STEPS_PARAMETER,
    NUM_TILES_PARAMETER,
    GemmArray,
)
from xdna.gemm.tiling import Plan, Run, along_strides
from xdna.stream.instructions import (
    Sync,
    Write,
    assemble,
    decode,
    operation_words,
    tile_address,
    write_words,
)
from xdna.stream.shim_bd import (
    ShimTransfer,
    ShimTransfers,
    canonical,
    transfer_words,
    transfers_of,
)

STEPS_IN_FLIGHT = QUEUE_DEPTH


class Schedule(NamedTuple):
    """What a run's words say: every core's parameters, the transfers as pushed."""

    num_tiles: int
    k_steps: int
    transfers: tuple[ShimTransfer, ...]


def run_words(plan: Plan, run: Run) -> np.ndarray:
    """The instruction words of one run, uint32, header included."""
    device = plan.array.device
    inputs, outputs = run_transfers(plan, run)
    # (steps, words)
    fill = transfer_words(device, inputs).reshape(run.num_steps, -1)
    drain = transfer_words(device, outputs).reshape(run.num_steps, -1)
    sync = np.array(operation_words(_sync(plan.array)), np.uint32)
    parameters = _parameter_words(plan.array, run.num_tiles, plan.k_steps)
    head = min(run.num_steps, STEPS_IN_FLIGHT)
    waits = np.tile(sync, (run.num_steps - head, 1))
    num_operations = (
        3 * np.size(inputs.bd_id)
        + 4 * np.size(outputs.bd_id)  # with a token
        + len(parameters)
        + run.num_steps
    )
    return assemble(
        device,
        num_operations,
        [
            fill[0],
            parameters,
            drain[0],
            np.hstack([fill[1:head], drain[1:head]]),
            np.hstack([waits, fill[head:], drain[head:]]),
            np.tile(sync, head),
        ],
    )


def run_transfers(plan: Plan, run: Run) -> tuple[ShimTransfers, ShimTransfers]:
    """The transfers of A and B, and those of C, step by step."""
    steps = list(run.steps())
    points, counts = (np.array(part) for part in zip(*steps))
    along = along_strides(plan.array, plan.padded_k, run.grid, run.along)
    operands = [
        _operand(plan, run, points, counts, index, stride)
        for index, stride in enumerate(along)
    ]
    return _side_by_side(operands[:2]), _side_by_side(operands[2:])


def schedule(plan: Plan, run: Run) -> Schedule:
    """What `run_words` encodes."""
    inputs, outputs = (
        np.array_split(np.arange(np.size(part.bd_id)), run.num_steps)
        for part in run_transfers(plan, run)
    )
    fill, drain = run_transfers(plan, run)
    transfers = []
    for fill_rows, drain_rows in zip(inputs, outputs):
        transfers += [_transfer(fill, row) for row in fill_rows]
        transfers += [_transfer(drain, row) for row in drain_rows]
    return Schedule(run.num_tiles, plan.k_steps, tuple(transfers))


def decode_schedule(array: GemmArray, words: ArrayLike) -> Schedule:
    """The schedule that a stream carries out.

    Raises:
      ValueError: if the words are no stream, or the cores' parameters differ.
    """
    _, stream = decode(words)
    writes = {op.address: op.value for _, op in stream if isinstance(op, Write)}
    parameters = []
    for position in (NUM_TILES_PARAMETER, NUM_K_STEPS_PARAMETER):
        addresses = _core_addresses(array, _parameter_offset(array, position))
        values = {writes[address] for address in addresses if address in writes}
        if len(values) != 1 or any(address not in writes for address in addresses):
            raise ValueError(
                f"parameter {position} must be one number in every core, got {values}"
            )
        parameters.append(values.pop())
    num_tiles, k_steps = parameters
    transfers = tuple(transfer for _, transfer in transfers_of(stream))
    return Schedule(num_tiles, k_steps, transfers)


def fed_by(array: GemmArray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Which (column, MM2S channel)s feed each C channel: for `check_stream`."""
    a = [(column, A_CHANNEL) for column in array.a_columns]
    return {
        (column, C_CHANNEL): [*a, (column, B_CHANNEL)]
        for column in range(array.num_columns)
    }


def image_bytes(plan: Plan, run: Run) -> tuple[int, int, int]:
    """Bytes of A, B and C in DDR that a run addresses."""
    array, (batch, rows, columns) = plan.array, run.grid
    m, n = rows * array.block_m, columns * array.block_n
    return (
        batch * m * plan.padded_k * INPUT_BYTES,
        batch * plan.padded_k * n * INPUT_BYTES,
        batch * m * n * array.out_bytes,
    )


def _operand(
    plan: Plan,
    run: Run,
    points: np.ndarray,
    counts: np.ndarray,
    index: int,
    along_stride: int,
) -> ShimTransfers:
    """One operand's transfers, (steps, columns) of them."""
    array, k = plan.array, plan.padded_k
    batch, row, column = (part[:, None] for part in points.T)  # (steps, 1)
    m, n = run.grid[1] * array.block_m, run.grid[2] * array.block_n
    columns = np.arange(array.num_columns)
    element_bytes, channel, direction = INPUT_BYTES, A_CHANNEL, "MM2S"
    if index == A_ARGUMENT:
        columns = np.array(array.a_columns)
        core_rows = np.arange(array.num_rows)
        offset = (batch * m + row * array.block_m + core_rows * array.m) * k
        sizes = (plan.k_steps, array.m, array.k)
        strides = (array.k, k, 1)
    elif index == B_ARGUMENT:
        channel = B_CHANNEL
        first = column * array.block_n + columns * array.n
        if array.b_column_major:
            offset = (batch * n + first) * k
            sizes, strides = (plan.k_steps, array.n, array.k), (array.k, k, 1)
        else:  # rows in the outermost dimension, which has no limit to its size
            offset = batch * k * n + first
            sizes, strides = (k, 1, array.n), (n, 0, 1)
    else:
        direction, channel, element_bytes = "S2MM", C_CHANNEL, array.out_bytes
        offset = (batch * m + row * array.block_m) * n
        offset = offset + column * array.block_n + columns * array.n
        sizes, strides = (array.block_m, 1, array.n), (n, 0, 1)
    shape = np.broadcast_shapes(offset.shape, (len(points), len(columns)))
    slots = np.arange(len(points))[:, None] % STEPS_IN_FLIGHT
    elements = WORD_BYTES // element_bytes  # of a word
    return ShimTransfers(
        column=np.broadcast_to(columns, shape),
        direction=np.full(shape, direction),
        channel=np.full(shape, channel),
        bd_id=np.broadcast_to(index * STEPS_IN_FLIGHT + slots, shape),
        argument=np.full(shape, index),
        offset_bytes=np.broadcast_to(offset * element_bytes, shape),
        sizes=_fields(shape, counts, (*sizes[:-1], sizes[-1] // elements)),
        strides=_fields(
            shape,
            np.full(len(points), along_stride // elements),
            (*(stride // elements for stride in strides[:-1]), 1),
        ),
        token=np.full(shape, index == C_ARGUMENT),
    )


def _fields(
    shape: tuple[int, ...], outermost: np.ndarray, inner: Sequence[int]
) -> np.ndarray:
    """(steps, columns, 4)"""
    fields = np.empty((*shape, 4), np.int64)
    fields[..., 0] = outermost[:, None]
    fields[..., 1:] = inner
    return fields


def _side_by_side(operands: Sequence[ShimTransfers]) -> ShimTransfers:
    """All operands' transfers of the first step, then of the second, and so on."""
    joined = [np.concatenate(parts, axis=1) for parts in zip(*operands)]
    return ShimTransfers(*(part.reshape(-1, *part.shape[2:]) for part in joined))


def _transfer(transfers: ShimTransfers, row: int) -> ShimTransfer:
    values = (np.asarray(field)[row].tolist() for field in transfers)
    fields: list[Any] = [tuple(v) if isinstance(v, list) else v for v in values]
    return canonical(ShimTransfer(*fields))


def _sync(array: GemmArray) -> Sync:
    return Sync(0, SHIM_ROW, "S2MM", C_CHANNEL, num_columns=array.num_columns)


@functools.lru_cache(maxsize=64)
def _core_addresses(array: GemmArray, offset: int) -> list[int]:
    return [
        tile_address(column, FIRST_CORE_ROW + row, offset)
        for column in range(array.num_columns)
        for row in range(array.num_rows)
    ]


def _parameter_offset(array: GemmArray, position: int) -> int:
    return array.core_buffers["parameters"].address + WORD_BYTES * position


def _parameter_words(array: GemmArray, num_tiles: int, k_steps: int) -> np.ndarray:
    """Both parameters and then the "go" of every core, (writes, 6)."""
    go = CORE.lock_address + LOCK_STRIDE_BYTES * GO_LOCK
    values = {
        _parameter_offset(array, NUM_TILES_PARAMETER): num_tiles,
        _parameter_offset(array, NUM_K_STEPS_PARAMETER): k_steps,
        go: 1,
    }
    return np.concatenate(
        [
            write_words(np.array(_core_addresses(array, offset)), value)
            for offset, value in values.items()
        ]
    )
