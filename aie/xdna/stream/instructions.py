"""Instruction streams of the NPU's controller ("TXN", insts.bin): words and back.

A stream is a header of four little-endian words and operations of fixed layout, byte
for byte what aie-translate of mlir-aie 1.3 writes. Nothing here knows what an address
means: `registers` names it and `stream_check` judges it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import DEVICES, WORD_BYTES, Device

HEADER_WORDS = 4
MAJOR, MINOR = 0, 1
NUM_MEMTILE_ROWS = 1
DIRECTIONS = ("S2MM", "MM2S")  # as SYNC numbers them


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
    """Waits for a token of that channel from each of num_columns * num_rows tiles."""

    column: int
    row: int
    direction: str
    channel: int
    num_columns: int = 1
    num_rows: int = 1


class DdrPatch(NamedTuple):
    """Writes an argument's device address, plus an offset, to words 1 and 2 of a BD."""

    address: int  # of word 1
    argument: int
    offset_bytes: int


class LoadPdi(NamedTuple):
    id: int
    size_bytes: int
    address: int


class Preempt(NamedTuple):
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
    return column << 25 | row << 20 | offset & 0xFFFFF


def split_address(address: int) -> tuple[int, int, int]:
    """Column, row, and the offset within the tile."""
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
    """The stream of operations that are words already, as `write_words` gives them."""
    parts = [np.zeros(HEADER_WORDS, np.uint32)]
    parts += [np.asarray(body, np.uint32).ravel() for body in bodies]
    words = np.concatenate(parts)
    words[:HEADER_WORDS] = (
        device.num_rows << 24 | device.generation << 16 | MINOR << 8 | MAJOR,
        NUM_MEMTILE_ROWS << 8 | device.num_columns,
        num_operations,
        WORD_BYTES * len(words),
    )
    return words


def write_words(addresses: ArrayLike, values: ArrayLike) -> np.ndarray:
    """The words of many WRITEs, (count, 6)."""
    addresses, values = np.broadcast_arrays(addresses, values)
    words = np.zeros((*addresses.shape, 6), np.uint32)
    words[..., 2], words[..., 4], words[..., 5] = addresses, values, 24
    return words


def operation_words(operation: Operation) -> list[int]:
    match operation:
        case Write(address, value):
            words = [0, 0, address, 0, value, 24]
        case BlockWrite(address, data):
            words = [1, 0, address, WORD_BYTES * (4 + len(data)), *data]
            _check_bits(operation, "number of words", len(data), 30, low=1)
        case MaskWrite(address, value, mask):
            words = [3, 0, address, 0, value, mask, 28]
        case Sync(column, row, direction, channel, num_columns, num_rows):
            for name in ("column", "row", "channel", "num_columns", "num_rows"):
                _check_bits(operation, name, getattr(operation, name), 8)
            if direction not in DIRECTIONS:
                raise ValueError(f"{operation}: direction must be one of {DIRECTIONS}")
            tile = DIRECTIONS.index(direction) | row << 8 | column << 16
            words = [0x80, 16, tile, num_rows << 8 | num_columns << 16 | channel << 24]
        case DdrPatch(address, argument, offset):
            words = [0x81, 48, 0, 0, 0, 0, address, 0, argument, 0, offset, 0]
        case LoadPdi(number, size_bytes, address):
            _check_bits(operation, "id", number, 16)
            _check_bits(operation, "address", address, 64)
            words = [8 | number << 16, size_bytes, address & 0xFFFFFFFF, address >> 32]
        case Preempt(level):
            _check_bits(operation, "level", level, 8)
            words = [6 | level << 8]
    for word in words:
        _check_bits(operation, "word", word, 32)
    return words


def from_bytes(data: bytes) -> np.ndarray:
    """The words of a file of instructions."""
    if len(data) % WORD_BYTES:
        raise ValueError(
            f"word {len(data) // WORD_BYTES}: a stream is whole words of 4 bytes, "
            f"got {len(data)} bytes"
        )
    return np.frombuffer(data, "<u4").astype(np.uint32)


def decode(words: ArrayLike) -> tuple[Header, list[Located]]:
    """Header and operations of a stream.

    A BLOCKWRITE whose tile stands in a word of its own comes back with a flat address.

    Raises:
      ValueError: with the offset of the word that is wrong.
    """
    stream = [int(word) for word in np.asarray(words).ravel()]
    if bad := [i for i, word in enumerate(stream) if not 0 <= word < 1 << 32]:
        raise ValueError(f"word {bad[0]}: must have 32 bits, got {stream[bad[0]]:#x}")
    header = _decode_header(stream)
    operations = []
    at = HEADER_WORDS
    while at < len(stream):
        operation, num_words = _decode_operation(stream, at)
        operations.append(Located(at, operation))
        at += num_words
    if len(operations) != header.num_operations:
        raise ValueError(
            f"word 2: the header counts {header.num_operations} operations, "
            f"the stream has {len(operations)}"
        )
    return header, operations


def _check_bits(
    operation: Operation, name: str, value: int, bits: int, low: int = 0
) -> None:
    if not low <= value < 1 << bits:
        raise ValueError(
            f"{operation}: {name} must be {low}-{(1 << bits) - 1}, got {value}"
        )


def _decode_header(stream: Sequence[int]) -> Header:
    if len(stream) < HEADER_WORDS:
        raise ValueError(f"word {len(stream)}: the stream ends within its header")
    version, size, num_operations, num_bytes = stream[:HEADER_WORDS]
    if version & 0xFFFF != MINOR << 8 | MAJOR:
        raise ValueError(
            f"word 0: version must be {MAJOR}.{MINOR}, "
            f"got {version & 0xFF}.{version >> 8 & 0xFF}"
        )
    generation, num_rows = version >> 16 & 0xFF, version >> 24
    known = [d for d in DEVICES.values() if d.generation == generation]
    if not known:
        raise ValueError(f"word 0: device generation must be 3 or 4, got {generation}")
    if num_rows != known[0].num_rows:
        raise ValueError(f"word 0: rows must be {known[0].num_rows}, got {num_rows}")
    if size >> 8 != NUM_MEMTILE_ROWS:
        raise ValueError(
            f"word 1: memtile rows must be {NUM_MEMTILE_ROWS}, got {size >> 8}"
        )
    device = next((d for d in known if d.num_columns == size & 0xFF), None)
    if device is None:
        raise ValueError(f"word 1: {known[0].name} has no {size & 0xFF} columns")
    if num_bytes != WORD_BYTES * len(stream):
        raise ValueError(
            f"word 3: the header counts {num_bytes} bytes, "
            f"the stream has {WORD_BYTES * len(stream)}"
        )
    return Header(device, num_operations, num_bytes)


# By opcode: name, number of words (None: in word 3), words that must have one value.
_LAYOUTS: dict[int, tuple[str, int | None, dict[int, int]]] = {
    0x00: ("WRITE", 6, {0: 0x00, 1: 0, 3: 0, 5: 24}),
    0x01: ("BLOCKWRITE", None, {0: 0x01}),
    0x03: ("MASKWRITE", 7, {0: 0x03, 1: 0, 3: 0, 6: 28}),
    0x06: ("PREEMPT", 1, {}),
    0x08: ("LOADPDI", 4, {}),
    0x80: ("SYNC", 4, {0: 0x80, 1: 16}),
    0x81: (
        "DDR_PATCH",
        12,
        {0: 0x81, 1: 48, **dict.fromkeys((2, 3, 4, 5, 7, 9, 11), 0)},
    ),
}


def _decode_operation(stream: Sequence[int], at: int) -> tuple[Operation, int]:
    opcode = stream[at] & 0xFF
    if opcode not in _LAYOUTS:
        raise ValueError(f"word {at}: opcode {opcode:#x} is not known")
    name, num_words, fixed = _LAYOUTS[opcode]
    if num_words is None:
        num_words = _block_words(stream, at)
    if at + num_words > len(stream):
        raise ValueError(
            f"word {at}: {name} has {num_words} words, "
            f"the stream ends after {len(stream) - at}"
        )
    w = stream[at : at + num_words]
    for i, value in fixed.items():
        if w[i] != value:
            raise ValueError(
                f"word {at + i}: {name} must have {value} here, got {w[i]:#x}"
            )
    try:
        return _operation(opcode, w), num_words
    except ValueError as error:
        raise ValueError(f"word {at}: {name} {error}") from None


def _block_words(stream: Sequence[int], at: int) -> int:
    size_bytes = stream[at + 3] if at + 3 < len(stream) else 16 + WORD_BYTES
    if size_bytes % WORD_BYTES or size_bytes <= 16:
        raise ValueError(
            f"word {at + 3}: BLOCKWRITE must count at least 20 bytes of whole words, "
            f"got {size_bytes}"
        )
    return size_bytes // WORD_BYTES


def _operation(opcode: int, w: Sequence[int]) -> Operation:
    match opcode:
        case 0x00:
            return Write(w[2], w[4])
        case 0x01:
            return BlockWrite(_flat_address(w[1], w[2]), tuple(w[4:]))
        case 0x03:
            return MaskWrite(w[2], w[4], w[5])
        case 0x06:
            if w[0] >> 16:
                raise ValueError(f"must have a level of 8 bits, got {w[0] >> 8:#x}")
            return Preempt(w[0] >> 8)
        case 0x08:
            if w[0] >> 8 & 0xFF:
                raise ValueError(f"must have 0 in bits 8-15, got {w[0]:#x}")
            return LoadPdi(w[0] >> 16, w[1], w[3] << 32 | w[2])
        case 0x80:
            if w[2] & 0xFF > 1 or w[2] >> 24 or w[3] & 0xFF:
                raise ValueError(f"has reserved bits set: {w[2]:#010x} {w[3]:#010x}")
            column, row = w[2] >> 16, w[2] >> 8 & 0xFF
            num_columns, num_rows = w[3] >> 16 & 0xFF, w[3] >> 8 & 0xFF
            direction = DIRECTIONS[w[2] & 1]
            return Sync(column, row, direction, w[3] >> 24, num_columns, num_rows)
        case _:
            return DdrPatch(w[6], w[8], w[10])


def _flat_address(tile: int, address: int) -> int:
    if not tile:
        return address
    column, row = tile & 0xFF, tile >> 8
    if tile >> 16 or split_address(address)[:2] not in ((0, 0), (column, row)):
        raise ValueError(f"names two tiles: {tile:#x} and address {address:#x}")
    return tile_address(column, row, address)
