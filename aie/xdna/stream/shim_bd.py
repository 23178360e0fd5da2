"""Transfers between DDR and the array: the words of shim BDs, and back.

A transfer is 3 operations, or 4 with a token: BLOCKWRITE of the BD, DDR_PATCH of its
address, MASKWRITE of the token's sender, WRITE of the queue. Sizes and strides are
four, outermost first, in words of 4 bytes; the outermost counts iterations, and with a
stride of 0 repeats.
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
from xdna.stream.bd_fields import task_pattern
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    Located,
    MaskWrite,
    Operation,
    Write,
    split_address,
    tile_address,
)
from xdna.stream.registers import register_at

WORDS = 30  # of a transfer
WORDS_WITH_TOKEN = 37
_MASKWRITE = slice(24, 31)  # of WORDS_WITH_TOKEN, absent without a token


class ShimTransfer(NamedTuple):
    column: int
    direction: str  # "MM2S" reads DDR, "S2MM" writes it
    channel: int
    bd_id: int
    argument: int
    offset_bytes: int
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
    """The transfer as its BD reads back: contiguous runs as one, idle strides 0."""
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


def transfers_of(stream: Sequence[Located]) -> list[tuple[int, ShimTransfer]]:
    """The transfers that a decoded stream pushes, each with the word of its push.

    Raises:
      ValueError: if a pushed BD was not written and patched, or is no ShimTransfer.
    """
    bds: dict[int, tuple[int, ...]] = {}  # by address
    patches: dict[int, DdrPatch] = {}
    transfers = []
    for word, operation in stream:
        column, row, offset = split_address(getattr(operation, "address", 0))
        if isinstance(operation, BlockWrite):
            bds[operation.address] = operation.data
        elif isinstance(operation, DdrPatch):
            patches[operation.address - WORD_BYTES] = operation
        elif isinstance(operation, Write) and row == SHIM_ROW:
            register = register_at(SHIM, offset)
            if register is None or register.what != "queue":
                continue
            bd_id = operation.value & 0xF
            bd = tile_address(column, 0, SHIM.dma.bd_address + BD_STRIDE_BYTES * bd_id)
            where = f"word {word}: shim ({column}, 0) BD {bd_id}"
            if bd not in bds or bd not in patches:
                raise ValueError(f"{where} is pushed, but not written and patched")
            repeat = (operation.value >> 16 & 0xFF) + 1
            if len(bds[bd]) != SHIM.dma.bd_words:
                raise ValueError(
                    f"{where} must be written as 8 words, got {len(bds[bd])}"
                )
            sizes, strides = task_pattern(where, bds[bd], repeat)
            transfer = ShimTransfer(
                column=column,
                direction=register.direction,
                channel=register.number,
                bd_id=bd_id,
                argument=patches[bd].argument,
                offset_bytes=patches[bd].offset_bytes,
                sizes=sizes,
                strides=strides,
                token=bool(operation.value >> 31),
            )
            transfers.append((word, transfer))
    return transfers


def _stacked(transfers: Sequence[ShimTransfer]) -> ShimTransfers:
    return ShimTransfers(*(np.asarray(field) for field in zip(*transfers)))


def _canonical(
    sizes: np.ndarray, strides: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(count, 4) sizes and strides in canonical form, and which are contiguous."""
    d2, d1, d0 = sizes[:, 1:].T
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
    _check(t, "length in words", sizes[:, 1:].prod(1, dtype=float), 1, 2.0**32 - 1)
    sizes, strides, linear = _canonical(sizes, strides)
    max_wrap, max_step = (1 << SHIM.dma.wrap_bits) - 1, 1 << SHIM.dma.step_bits
    shaped = ~linear[:, None]
    _check(t, "size of D0 and D1", np.where(shaped, sizes[:, 2:], 1), 1, max_wrap)
    active = np.where(sizes[:, 1:] > 1, strides[:, 1:], 1)
    _check(t, "stride of D0, D1 and D2", active, 1, max_step)
    _check(t, "stride of the iterations", strides[:, 0], 0, max_step)
    _check(t, "number of repeats", sizes[:, 0], 1, MAX_REPEATS)
    iterations = np.where(strides[:, 0] > 0, sizes[:, 0], 1)
    _check(t, "number of iterations", iterations, 1, MAX_ITERATIONS)
    _check(t, "column", t.column, 0, device.num_columns - 1)
    _check(t, "channel", t.channel, 0, SHIM.dma.num_mm2s - 1)
    _check(t, "BD id", t.bd_id, 0, SHIM.dma.num_bds - 1)
    _check(t, "argument", t.argument, 0, MAX_BUFFER_ARGUMENTS - 1)
    _check(t, "byte offset", t.offset_bytes, 0, (1 << 32) - 1)
    rest = np.asarray(t.offset_bytes) % WORD_BYTES
    _check(t, "byte offset modulo 4", rest, 0, 0)
    known = np.isin(t.direction, ("S2MM", "MM2S"))
    _check(t, "direction must be S2MM or MM2S: wrong ones", ~known, 0, 0)

    steps = np.maximum(strides - 1, 0)
    bds = np.zeros((len(sizes), SHIM.dma.bd_words), np.int64)
    bds[:, 0] = sizes[:, 1:].prod(1)
    bds[:, 3] = np.where(linear, 0, sizes[:, 3] << 20 | steps[:, 3])
    bds[:, 4] = device.burst_code << 30 | np.where(
        linear, 0, sizes[:, 2] << 20 | steps[:, 2]
    )
    bds[:, 5] = AXCACHE << 24 | steps[:, 1]
    bds[:, 6] = (iterations - 1) << 20 | steps[:, 0]
    bds[:, 7] = 1 << 25  # valid
    queue = (sizes[:, 0] - 1) << 16 | np.asarray(t.bd_id)
    return bds, queue | np.asarray(t.token).astype(np.int64) << 31


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
    tile = np.asarray(t.column, np.int64) << 25
    bd = tile + SHIM.dma.bd_address + BD_STRIDE_BYTES * np.asarray(t.bd_id)
    s2mm, mm2s = SHIM.dma.s2mm_control, SHIM.dma.mm2s_control
    control = tile + np.where(np.asarray(t.direction) == "MM2S", mm2s, s2mm)
    control = control + 8 * np.asarray(t.channel)
    rows = np.zeros((len(bds), WORDS_WITH_TOKEN), np.uint32)
    rows[:, 0], rows[:, 2], rows[:, 3], rows[:, 4:12] = 1, bd, 48, bds
    rows[:, 12], rows[:, 13], rows[:, 18] = 0x81, 48, bd + WORD_BYTES
    rows[:, 20], rows[:, 22] = t.argument, t.offset_bytes
    sender = SHIM_CONTROLLER_ID << CONTROLLER_SHIFT
    rows[:, 24], rows[:, 26], rows[:, 28] = 3, control, sender
    rows[:, 29], rows[:, 30] = CONTROLLER_BITS, 28
    rows[:, 33], rows[:, 35], rows[:, 36] = control + WORD_BYTES, queue, 24
    return rows
