"""Where a tile's buffers lie in its data memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xdna.devices import CONSTANTS_BYTES, CORE

# The stack of a core's GEMM program, as large as in mlir-aie's designs.
STACK_BYTES = 0xD00
ALIGNMENT_BYTES = 32  # a core's vector loads need it


@dataclass(frozen=True)
class Buffer:
    """A buffer in a tile's data memory."""

    name: str
    address: int
    num_bytes: int


def place_in_a_row(sizes: Mapping[str, int]) -> dict[str, Buffer]:
    """The buffers one after the other, from address 0."""
    buffers, address = {}, 0
    for name, num_bytes in sizes.items():
        buffers[name] = Buffer(name, address, num_bytes)
        address = _align(address + num_bytes)
    return buffers


def place_in_core(
    sizes: Mapping[str, int], bank_bytes: int, stack_bytes: int
) -> dict[str, Buffer] | None:
    """The places of a core's buffers behind its stack, or None if they do not fit.

    The end is left to the linker, which puts constants behind the last buffer. From the
    largest to the smallest, each lies at the lowest address where it crosses no border
    between banks. A buffer larger than a bank begins at a border.
    """
    placed = [Buffer("stack", 0, stack_bytes)]
    for name, num_bytes in sorted(sizes.items(), key=lambda item: -item[1]):
        address = _first_gap(placed, num_bytes, bank_bytes)
        if address + num_bytes > CORE.memory_bytes - CONSTANTS_BYTES:
            return None
        placed.append(Buffer(name, address, num_bytes))
    return {buffer.name: buffer for buffer in placed[1:]}


def _align(address: int) -> int:
    return -(-address // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _first_gap(placed: Iterable[Buffer], num_bytes: int, bank_bytes: int) -> int:
    address = 0
    for buffer in sorted(placed, key=lambda buffer: buffer.address):
        address = _within_bank(address, num_bytes, bank_bytes)
        if address + num_bytes <= buffer.address:
            return address
        address = max(address, _align(buffer.address + buffer.num_bytes))
    return _within_bank(address, num_bytes, bank_bytes)


def _within_bank(address: int, num_bytes: int, bank_bytes: int) -> int:
    # Bytes up to the next border. `address` is at least on the next one if they are
    # too few, and stays where it is if it is on one.
    room = bank_bytes - address % bank_bytes
    return address if num_bytes <= room else address + room % bank_bytes
