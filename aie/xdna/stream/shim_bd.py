"""Transfers between DDR and the array as the words that program a shim's DMA.

A transfer is 3 operations, or 4 with a token: BLOCKWRITE of the buffer descriptor (BD),
DDR_PATCH of its address, MASKWRITE of the controller that gets the token, WRITE of the
queue. A transfer has four sizes and strides, outermost first, in words of 4 bytes; the
outermost dimension counts iterations, or repeats if its stride is 0.
`pushed_transfers` is the way back.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import (
    AXCACHE,
    BD_STRIDE_BYTES,
    CONTROLLER_BITS,
    CONTROLLER_SHIFT,
    MAX_BUFFER_ARGUMENTS,
    MAX_ITERATIONS,
    MAX_REPEATS,
    SHIM,
    SHIM_CONTROLLER_ID,
    SHIM_ROW,
    WORD_BYTES,
    Device,
)
from xdna.stream.instructions import (
    BLOCKWRITE_HEADER_BYTES,
    DDR_PATCH_BYTES,
    MASKWRITE_BYTES,
    WRITE_BYTES,
    BlockWrite,
    DdrPatch,
    MaskWrite,
    Opcode,
    Operation,
    Write,
    tile_address,
)

# Operations of one transfer, and its words.
NUM_OPERATIONS, NUM_OPERATIONS_WITH_TOKEN = 3, 4
NUM_WORDS_WITH_TOKEN = 37
# Where the operations are among the words of a transfer with a token. Without one the
# MASKWRITE is left out.
_BLOCKWRITE, _PATCH, _MASKWRITE, _QUEUE = (
    slice(0, 12),
    slice(12, 24),
    slice(24, 31),
    slice(31, 37),
)


class ShimTransfer(NamedTuple):
    """One transfer, by one channel of the shim in `column`."""

    column: int
    direction: str  # "MM2S" reads DDR, "S2MM" writes it
    channel: int
    bd_id: int
    argument: int  # position of the buffer among a run's
    offset_bytes: int  # in that buffer
    sizes: tuple[int, int, int, int]
    strides: tuple[int, int, int, int]
    token: bool = False


class ShimTransfers(NamedTuple):
    """The fields of many transfers: an array each, or one value for all."""

    column: ArrayLike
    direction: ArrayLike
    channel: ArrayLike
    bd_id: ArrayLike
    argument: ArrayLike
    offset_bytes: ArrayLike
    sizes: ArrayLike  # (count, 4)
    strides: ArrayLike  # (count, 4)
    token: ArrayLike = False


def in_words(
    sizes: Sequence[int], strides: Sequence[int], element_bytes: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides in words, from those in elements of 1, 2 or 4 bytes.

    Raises:
      ValueError: unless runs and strides are whole words.
    """
    if element_bytes == WORD_BYTES:
        return tuple(sizes), tuple(strides)
    if strides[-1] != 1:
        raise ValueError(
            f"innermost stride of {element_bytes}-byte elements must be 1, "
            f"got {strides[-1]}"
        )
    for name, values in ("size", sizes[-1:]), ("stride", strides[:-1]):
        for value in values:
            if value * element_bytes % WORD_BYTES:
                raise ValueError(
                    f"{name} must be a multiple of {WORD_BYTES} bytes, "
                    f"got {value} elements of {element_bytes}"
                )
    run = sizes[-1] * element_bytes // WORD_BYTES
    steps = [stride * element_bytes // WORD_BYTES for stride in strides[:-1]]
    return (*sizes[:-1], run), (*steps, 1)


def canonical(transfer: ShimTransfer) -> ShimTransfer:
    """The transfer as its BD reads back.

    A contiguous pattern is one dimension, and a dimension of size 1 has stride 0.
    """
    sizes, strides, _ = _canonical(
        np.asarray([transfer.sizes]), np.asarray([transfer.strides])
    )
    return transfer._replace(
        sizes=tuple(sizes[0].tolist()), strides=tuple(strides[0].tolist())
    )


def operations(device: Device, transfer: ShimTransfer) -> list[Operation]:
    """The operations of one transfer.

    Raises:
      ValueError: naming the field that the hardware cannot hold.
    """
    bds, queue = _bds_and_queue(device, _stacked([transfer]))
    column, bd_id = transfer.column, transfer.bd_id
    bd = tile_address(column, SHIM_ROW, SHIM.dma.bd_address + BD_STRIDE_BYTES * bd_id)
    offset = SHIM.dma.control_address(transfer.direction, transfer.channel)
    control = tile_address(column, SHIM_ROW, offset)
    token = MaskWrite(control, SHIM_CONTROLLER_ID << CONTROLLER_SHIFT, CONTROLLER_BITS)
    return [
        BlockWrite(bd, tuple(bds[0].tolist())),
        DdrPatch(bd + WORD_BYTES, transfer.argument, transfer.offset_bytes),
        *([token] if transfer.token else []),
        Write(control + WORD_BYTES, int(queue[0])),
    ]


def transfer_words(device: Device, transfers: ShimTransfers) -> np.ndarray:
    """The words of many transfers at once, (count, 30), or (count, 37) with tokens.

    Raises:
      ValueError: naming the first transfer and field that the hardware cannot hold.
    """
    token = np.asarray(transfers.token)
    if token.any() and not token.all():
        raise ValueError("transfers must all have a token or none")
    rows = _rows(device, transfers)
    return rows if token.any() else np.delete(rows, _MASKWRITE, axis=1)


def _stacked(transfers: Sequence[ShimTransfer]) -> ShimTransfers:
    return ShimTransfers(*(np.asarray(field) for field in zip(*transfers)))


def _canonical(
    sizes: np.ndarray, strides: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(count, 4) sizes and strides in canonical form, and which are contiguous."""
    d2, d1, d0 = sizes[:, 1:].T
    # Contiguous: each stride is the product of the sizes within, where it matters.
    linear = (strides[:, 3] == 1) | (d0 == 1)
    linear &= (d1 == 1) | (strides[:, 2] == d0)
    linear &= (d2 == 1) | (strides[:, 1] == d1 * d0)
    sizes = sizes.copy()
    sizes[linear, 3] = (d2 * d1 * d0)[linear]
    sizes[linear, 1:3] = 1
    strides = np.where(sizes > 1, strides, 0)
    strides[linear | (sizes[:, 3] == 1), 3] = 1
    return sizes, strides, linear


def _bds_and_queue(device: Device, t: ShimTransfers) -> tuple[np.ndarray, np.ndarray]:
    """BD words (count, 8) and queue words (count,), after checking every field."""
    sizes, strides = (np.asarray(x, np.int64) for x in (t.sizes, t.strides))
    _check(t, "size", sizes, 1, (1 << SHIM.dma.length_bits) - 1)
    # As a float: the product of three sizes may not fit 64 bits.
    _check(t, "length in words", sizes[:, 1:].prod(1, dtype=float), 1, 2.0**32 - 1)
    sizes, strides, linear = _canonical(sizes, strides)
    iterations = np.where(strides[:, 0] > 0, sizes[:, 0], 1)
    _check_pattern(t, sizes, strides, linear, iterations)
    _check_numbers(device, t)
    # In BD words a step is a stride less 1, and the number of iterations is less 1.
    steps = np.maximum(strides - 1, 0)
    bds = np.zeros((len(sizes), SHIM.dma.bd_words), np.int64)
    bds[:, 0] = sizes[:, 1:].prod(1)  # length; 1 and 2 are the address, patched
    # A contiguous pattern has no wraps: the length alone ends it.
    bds[:, 3] = np.where(linear, 0, sizes[:, 3] << 20 | steps[:, 3])  # D0
    bds[:, 4] = np.where(linear, 0, sizes[:, 2] << 20 | steps[:, 2])  # D1
    bds[:, 4] |= device.burst_code << 30
    bds[:, 5] = AXCACHE << 24 | steps[:, 1]  # D2
    bds[:, 6] = (iterations - 1) << 20 | steps[:, 0]
    bds[:, 7] = 1 << 25  # valid
    queue = (sizes[:, 0] - 1) << 16 | np.asarray(t.bd_id)
    return bds, queue | np.asarray(t.token).astype(np.int64) << 31


def _check_pattern(
    t: ShimTransfers,
    sizes: np.ndarray,
    strides: np.ndarray,
    linear: np.ndarray,
    iterations: np.ndarray,
) -> None:
    """Checks that canonical sizes and strides fit the fields of a BD."""
    max_wrap, max_step = (1 << SHIM.dma.wrap_bits) - 1, 1 << SHIM.dma.step_bits
    shaped = ~linear[:, None]
    _check(t, "size of D0 and D1", np.where(shaped, sizes[:, 2:], 1), 1, max_wrap)
    active = np.where(sizes[:, 1:] > 1, strides[:, 1:], 1)
    _check(t, "stride of D0, D1 and D2", active, 1, max_step)
    _check(t, "stride of the iterations", strides[:, 0], 0, max_step)
    _check(t, "number of repeats", sizes[:, 0], 1, MAX_REPEATS)
    _check(t, "number of iterations", iterations, 1, MAX_ITERATIONS)


def _check_numbers(device: Device, t: ShimTransfers) -> None:
    _check(t, "column", t.column, 0, device.num_columns - 1)
    _check(t, "channel", t.channel, 0, SHIM.dma.num_mm2s - 1)
    _check(t, "BD id", t.bd_id, 0, SHIM.dma.num_bds - 1)
    _check(t, "argument", t.argument, 0, MAX_BUFFER_ARGUMENTS - 1)
    _check(t, "byte offset", t.offset_bytes, 0, (1 << 32) - 1)
    rest = np.asarray(t.offset_bytes) % WORD_BYTES
    _check(t, "byte offset modulo 4", rest, 0, 0)
    known = np.isin(t.direction, ("S2MM", "MM2S"))
    _check(t, "direction must be S2MM or MM2S: wrong ones", ~known, 0, 0)


def _check(
    t: ShimTransfers, name: str, values: ArrayLike, low: float, high: float
) -> None:
    values = np.asarray(values)
    if values.size == 0 or (values.min() >= low and values.max() <= high):
        return
    index = tuple(np.argwhere((values < low) | (values > high))[0])
    row = index[0] if index else 0
    column, direction, channel, bd_id = (
        np.broadcast_to(field, max(row + 1, np.size(field)))[row]
        for field in (t.column, t.direction, t.channel, t.bd_id)
    )
    raise ValueError(
        f"shim ({column}, 0) {direction} {channel} BD {bd_id}: "
        f"{name} must be {low:.0f}-{high:.0f}, got {values[index]:.0f}"
    )


def _rows(device: Device, t: ShimTransfers) -> np.ndarray:
    """(count, 37): the words of each transfer, as if each had a token."""
    bds, queue = _bds_and_queue(device, t)
    column, channel = np.asarray(t.column, np.int64), np.asarray(t.channel)
    tile = column << 25  # `tile_address` of row 0
    bd = tile + SHIM.dma.bd_address + BD_STRIDE_BYTES * np.asarray(t.bd_id)
    s2mm, mm2s = SHIM.dma.s2mm_control, SHIM.dma.mm2s_control
    control = tile + np.where(np.asarray(t.direction) == "MM2S", mm2s, s2mm)
    control = control + 8 * channel
    # The layouts are those of `instructions.operation_words`; what is not set is 0.
    rows = np.zeros((len(bds), NUM_WORDS_WITH_TOKEN), np.uint32)
    block, patch, mask, push = (
        rows[:, part] for part in (_BLOCKWRITE, _PATCH, _MASKWRITE, _QUEUE)
    )
    block[:, 0], block[:, 2] = Opcode.BLOCKWRITE, bd
    block[:, 3] = BLOCKWRITE_HEADER_BYTES + WORD_BYTES * SHIM.dma.bd_words
    block[:, 4:] = bds
    patch[:, 0], patch[:, 1] = Opcode.DDR_PATCH, DDR_PATCH_BYTES
    patch[:, 6], patch[:, 8], patch[:, 10] = bd + WORD_BYTES, t.argument, t.offset_bytes
    mask[:, 0], mask[:, 2] = Opcode.MASKWRITE, control
    mask[:, 4] = SHIM_CONTROLLER_ID << CONTROLLER_SHIFT
    mask[:, 5], mask[:, 6] = CONTROLLER_BITS, MASKWRITE_BYTES
    push[:, 0], push[:, 2] = Opcode.WRITE, control + WORD_BYTES
    push[:, 4], push[:, 5] = queue, WRITE_BYTES
    return rows
