"""Instruction streams of the NPU's controller ("TXN", insts.bin): operations to words.

A stream is a header of four little-endian words and operations of fixed layout, byte
for byte what aie-translate of mlir-aie 1.3 writes. Nothing here knows what an address
means: `registers` names it and `check` judges it. `decoding` is the way back.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import WORD_BYTES, Device

HEADER_WORDS = 4
MAJOR, MINOR = 0, 1  # version of the format
NUM_MEMTILE_ROWS = 1
DIRECTIONS = ("S2MM", "MM2S")  # as SYNC numbers them


class Opcode:
    """The lowest byte of an operation's first word."""

    WRITE = 0x00
    BLOCKWRITE = 0x01
    MASKWRITE = 0x03
    PREEMPT = 0x06
    LOADPDI = 0x08
    SYNC = 0x80
    DDR_PATCH = 0x81


# Bytes of the operations that carry their own size.
WRITE_BYTES = 24
MASKWRITE_BYTES = 28
BLOCKWRITE_HEADER_BYTES = 16  # data follows
SYNC_BYTES = 16
DDR_PATCH_BYTES = 48


class Write(NamedTuple):
    address: int
    value: int


class BlockWrite(NamedTuple):
    address: int
    data: tuple[int, ...]


class MaskWrite(NamedTuple):
    address: int
    value: int
    mask: int


class Sync(NamedTuple):
    """Waits for a token of the channel from each of num_columns * num_rows tiles."""

    # The first tile, then the channel of each.
    column: int
    row: int
    direction: str
    channel: int
    num_columns: int = 1
    num_rows: int = 1


class DdrPatch(NamedTuple):
    """Writes an argument's device address, plus an offset, to words 1 and 2 of a BD."""

    address: int  # word 1 of the BD
    argument: int
    offset_bytes: int


class LoadPdi(NamedTuple):
    """Loads another configuration of the array."""

    id: int
    size_bytes: int
    address: int


class Preempt(NamedTuple):
    """A point at which the controller may switch to another context."""

    level: int


Operation = Write | BlockWrite | MaskWrite | Sync | DdrPatch | LoadPdi | Preempt


class Header(NamedTuple):
    device: Device
    num_operations: int
    num_bytes: int


class Located(NamedTuple):
    """An operation and the index of its first word."""

    word: int
    operation: Operation


def tile_address(column: int, row: int, offset: int) -> int:
    # bits 31-25: column, 24-20: row, 19-0: byte offset within the tile
    return column << 25 | row << 20 | offset & 0xFFFFF


def split_address(address: int) -> tuple[int, int, int]:
    """Column, row, and the byte offset within the tile."""
    return address >> 25, address >> 20 & 0x1F, address & 0xFFFFF


def encode(device: Device, operations: Iterable[Operation]) -> np.ndarray:
    """The stream of those operations, as uint32 words.

    Raises:
      ValueError: if a field does not fit its bits.
    """
    bodies = [operation_words(operation) for operation in operations]
    return assemble(device, len(bodies), bodies)


def assemble(
    device: Device, num_operations: int, bodies: Iterable[ArrayLike]
) -> np.ndarray:
    """The stream of operations that are already words, such as from `write_words`."""
    parts = [np.zeros(HEADER_WORDS, np.uint32)]
    parts += [np.asarray(body, np.uint32).ravel() for body in bodies]
    words = np.concatenate(parts)
    words[:HEADER_WORDS] = (
        # from the highest byte: rows, generation, minor and major version
        device.num_rows << 24 | device.generation << 16 | MINOR << 8 | MAJOR,
        NUM_MEMTILE_ROWS << 8 | device.num_columns,
        num_operations,
        WORD_BYTES * len(words),
    )
    return words


def write_words(addresses: ArrayLike, values: ArrayLike) -> np.ndarray:
    """The words of many WRITEs, (count, 6), as `operation_words` has each."""
    addresses, values = np.broadcast_arrays(addresses, values)
    words = np.zeros((*addresses.shape, 6), np.uint32)
    words[..., 2], words[..., 4], words[..., 5] = addresses, values, WRITE_BYTES
    return words


def operation_words(operation: Operation) -> list[int]:
    """The words of one operation.

    Raises:
      ValueError: if a field does not fit its bits.
    """
    match operation:
        case Write(address, value):
            words = [Opcode.WRITE, 0, address, 0, value, WRITE_BYTES]
        case BlockWrite(address, data):
            num_bytes = BLOCKWRITE_HEADER_BYTES + WORD_BYTES * len(data)
            words = [Opcode.BLOCKWRITE, 0, address, num_bytes, *data]
            _check_bits(operation, "number of words", len(data), 30, low=1)
        case MaskWrite(address, value, mask):
            words = [Opcode.MASKWRITE, 0, address, 0, value, mask, MASKWRITE_BYTES]
        case Sync(column, row, direction, channel, num_columns, num_rows):
            for name in ("column", "row", "channel", "num_columns", "num_rows"):
                _check_bits(operation, name, getattr(operation, name), 8)
            if direction not in DIRECTIONS:
                raise ValueError(f"{operation}: direction must be one of {DIRECTIONS}")
            # fields of 8 bits, from the lowest
            tile = DIRECTIONS.index(direction) | row << 8 | column << 16
            size = num_rows << 8 | num_columns << 16
            words = [Opcode.SYNC, SYNC_BYTES, tile, size | channel << 24]
        case DdrPatch(address, argument, offset):
            head = [Opcode.DDR_PATCH, DDR_PATCH_BYTES, 0, 0, 0, 0]
            words = [*head, address, 0, argument, 0, offset, 0]
        case LoadPdi(number, size_bytes, address):
            _check_bits(operation, "id", number, 16)
            _check_bits(operation, "address", address, 64)
            low, high = address & 0xFFFFFFFF, address >> 32
            words = [Opcode.LOADPDI | number << 16, size_bytes, low, high]
        case Preempt(level):
            _check_bits(operation, "level", level, 8)
            words = [Opcode.PREEMPT | level << 8]
    for word in words:
        _check_bits(operation, "word", word, 32)
    return words


def _check_bits(
    operation: Operation, name: str, value: int, bits: int, low: int = 0
) -> None:
    if not low <= value < 1 << bits:
        raise ValueError(
            f"{operation}: {name} must be {low}-{(1 << bits) - 1}, got {value}"
        )
