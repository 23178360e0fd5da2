"""Words of an instruction stream to operations: the way back from `instructions`.

Every word is checked, so that a stream which decodes is encoded to the same words. The
one exception is a BLOCKWRITE that names its tile in a word of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import DEVICES, WORD_BYTES
from xdna.stream.instructions import (
    BLOCKWRITE_HEADER_BYTES,
    DDR_PATCH_BYTES,
    DIRECTIONS,
    HEADER_WORDS,
    MAJOR,
    MASKWRITE_BYTES,
    MINOR,
    NUM_MEMTILE_ROWS,
    SYNC_BYTES,
    WRITE_BYTES,
    BlockWrite,
    DdrPatch,
    Header,
    LoadPdi,
    Located,
    MaskWrite,
    Opcode,
    Operation,
    Preempt,
    Sync,
    Write,
    split_address,
    tile_address,
)


def from_bytes(data: bytes) -> np.ndarray:
    """The words of a file of instructions.

    Raises:
      ValueError: if the file ends within a word.
    """
    if len(data) % WORD_BYTES:
        raise ValueError(
            f"word {len(data) // WORD_BYTES}: a stream is whole words of 4 bytes, "
            f"got {len(data)} bytes"
        )
    return np.frombuffer(data, "<u4").astype(np.uint32)


def decode(words: ArrayLike) -> tuple[Header, list[Located]]:
    """Header and operations of a stream.

    A BLOCKWRITE that names its tile in a word of its own gets one address of both.

    Raises:
      ValueError: with the index of the word that is wrong.
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


def _decode_header(stream: Sequence[int]) -> Header:
    if len(stream) < HEADER_WORDS:
        raise ValueError(f"word {len(stream)}: the stream ends within its header")
    # The words that `instructions.assemble` writes.
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


class _Layout(NamedTuple):
    name: str
    num_words: int | None  # None: word 3 has the number of bytes
    fixed: dict[int, int]  # the words that must have one value


_LAYOUTS = {
    Opcode.WRITE: _Layout("WRITE", 6, {0: Opcode.WRITE, 1: 0, 3: 0, 5: WRITE_BYTES}),
    Opcode.BLOCKWRITE: _Layout("BLOCKWRITE", None, {0: Opcode.BLOCKWRITE}),
    Opcode.MASKWRITE: _Layout(
        "MASKWRITE", 7, {0: Opcode.MASKWRITE, 1: 0, 3: 0, 6: MASKWRITE_BYTES}
    ),
    Opcode.PREEMPT: _Layout("PREEMPT", 1, {}),
    Opcode.LOADPDI: _Layout("LOADPDI", 4, {}),
    Opcode.SYNC: _Layout("SYNC", 4, {0: Opcode.SYNC, 1: SYNC_BYTES}),
    Opcode.DDR_PATCH: _Layout(
        "DDR_PATCH",
        12,
        {
            0: Opcode.DDR_PATCH,
            1: DDR_PATCH_BYTES,
            **dict.fromkeys((2, 3, 4, 5, 7, 9, 11), 0),
        },
    ),
}


def _decode_operation(stream: Sequence[int], at: int) -> tuple[Operation, int]:
    opcode = stream[at] & 0xFF
    if opcode not in _LAYOUTS:
        raise ValueError(f"word {at}: opcode {opcode:#x} is not known")
    name, size, fixed = _LAYOUTS[opcode]
    num_words = _block_words(stream, at) if size is None else size
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
    header = BLOCKWRITE_HEADER_BYTES
    # Where the stream ends too early, the smallest size: the caller reports the end.
    size_bytes = stream[at + 3] if at + 3 < len(stream) else header + WORD_BYTES
    if size_bytes % WORD_BYTES or size_bytes <= header:
        raise ValueError(
            f"word {at + 3}: BLOCKWRITE must count at least 20 bytes of whole words, "
            f"got {size_bytes}"
        )
    return size_bytes // WORD_BYTES


def _operation(opcode: int, w: Sequence[int]) -> Operation:
    match opcode:
        case Opcode.WRITE:
            return Write(w[2], w[4])
        case Opcode.BLOCKWRITE:
            return BlockWrite(_flat_address(w[1], w[2]), tuple(w[4:]))
        case Opcode.MASKWRITE:
            return MaskWrite(w[2], w[4], w[5])
        case Opcode.PREEMPT:
            if w[0] >> 16:
                raise ValueError(f"must have a level of 8 bits, got {w[0] >> 8:#x}")
            return Preempt(w[0] >> 8)
        case Opcode.LOADPDI:
            if w[0] >> 8 & 0xFF:
                raise ValueError(f"must have 0 in bits 8-15, got {w[0]:#x}")
            return LoadPdi(w[0] >> 16, w[1], w[3] << 32 | w[2])
        case Opcode.SYNC:
            if w[2] & 0xFF > 1 or w[2] >> 24 or w[3] & 0xFF:
                raise ValueError(f"has reserved bits set: {w[2]:#010x} {w[3]:#010x}")
            # tile: direction, row << 8, column << 16; size: rows << 8, columns << 16,
            # channel << 24
            column, row = w[2] >> 16, w[2] >> 8 & 0xFF
            num_columns, num_rows = w[3] >> 16 & 0xFF, w[3] >> 8 & 0xFF
            direction = DIRECTIONS[w[2] & 1]
            return Sync(column, row, direction, w[3] >> 24, num_columns, num_rows)
        case _:  # Opcode.DDR_PATCH
            return DdrPatch(w[6], w[8], w[10])


def _flat_address(tile: int, address: int) -> int:
    """One address from a BLOCKWRITE's two words; `tile` is 0 or row << 8 | column."""
    if not tile:
        return address
    column, row = tile & 0xFF, tile >> 8
    if tile >> 16 or split_address(address)[:2] not in ((0, 0), (column, row)):
        raise ValueError(f"names two tiles: {tile:#x} and address {address:#x}")
    return tile_address(column, row, address)
