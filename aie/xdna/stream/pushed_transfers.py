"""The shim transfers that a decoded stream pushes, read back from its words."""

from collections.abc import Sequence

from xdna.devices import BD_STRIDE_BYTES, SHIM, SHIM_ROW, WORD_BYTES
from xdna.stream.bd_fields import queued_task, task_pattern
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    Located,
    Write,
    split_address,
    tile_address,
)
from xdna.stream.registers import Register, register_at
from xdna.stream.shim_bd import ShimTransfer


def transfers_of(stream: Sequence[Located]) -> list[tuple[int, ShimTransfer]]:
    """The transfers that a decoded stream pushes, each with the word of its push.

    Raises:
      ValueError: if a pushed BD was not written and patched, or is no ShimTransfer.
    """
    bds: dict[int, tuple[int, ...]] = {}  # by address
    patches: dict[int, DdrPatch] = {}  # by address of the BD
    transfers = []
    for word, operation in stream:
        match operation:
            case BlockWrite(address, data):
                bds[address] = data
            case DdrPatch(address):
                patches[address - WORD_BYTES] = operation
            case Write(address, value):
                column, row, offset = split_address(address)
                queue = register_at(SHIM, offset) if row == SHIM_ROW else None
                if queue is not None and queue.what == "queue":
                    transfer = _pushed(word, column, queue, value, bds, patches)
                    transfers.append((word, transfer))
    return transfers


def _pushed(
    word: int,
    column: int,
    queue: Register,
    value: int,
    bds: dict[int, tuple[int, ...]],
    patches: dict[int, DdrPatch],
) -> ShimTransfer:
    task = queued_task(value)
    offset = SHIM.dma.bd_address + BD_STRIDE_BYTES * task.bd_id
    bd = tile_address(column, SHIM_ROW, offset)
    where = f"word {word}: shim ({column}, 0) BD {task.bd_id}"
    if bd not in bds or bd not in patches:
        raise ValueError(f"{where} is pushed, but not written and patched")
    if len(bds[bd]) != SHIM.dma.bd_words:
        raise ValueError(f"{where} must be written as 8 words, got {len(bds[bd])}")
    sizes, strides = task_pattern(where, bds[bd], task.repeat)
    return ShimTransfer(
        column=column,
        direction=queue.direction,
        channel=queue.number,
        bd_id=task.bd_id,
        argument=patches[bd].argument,
        offset_bytes=patches[bd].offset_bytes,
        sizes=sizes,
        strides=strides,
        token=task.token,
    )
