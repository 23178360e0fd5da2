"""The check of data memory: every buffer has room, and a place of its own.

A core's stack lies at address 0.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from xdna.check.placed_design import (
    PlacedDesign,
    Tile,
    Violation,
    element_bytes,
    name_of,
)
from xdna.dialect.aie import BufferOp, CoreOp
from xdna.dialect.op import element_count

Span = tuple[int, int, str]  # first byte, number of bytes, owner


def check_memory(design: PlacedDesign) -> Iterator[Violation]:
    buffers: dict[Tile, list[BufferOp]] = defaultdict(list)
    for tile, buffer in design.on_tiles(BufferOp):
        buffers[tile].append(buffer)
    stacks = {
        tile: core.stack_size.value.data for tile, core in design.on_tiles(CoreOp)
    }
    for tile in sorted(buffers.keys() | stacks.keys()):
        stack = stacks.get(tile, 0)
        yield from _check_total(design, tile, buffers[tile], stack)
        yield from _check_banks(design, tile, buffers[tile], stack)
        yield from _check_addresses(design, tile, buffers[tile], stack)


def check_buffers(design: PlacedDesign) -> Iterator[Violation]:
    """The check of buffers alone, which have their places.

    Whether a stack uses what is given to it, and which bank a buffer was meant for, its
    compiler knows.
    """
    buffers: dict[Tile, list[BufferOp]] = defaultdict(list)
    for tile, buffer in design.on_tiles(BufferOp):
        buffers[tile].append(buffer)
    for tile in sorted(buffers):
        yield from _check_addresses(design, tile, buffers[tile], stack=0)


def num_bytes(buffer: BufferOp) -> int:
    return element_count(buffer.buffer.type) * element_bytes(buffer.buffer.type)


def _check_total(
    design: PlacedDesign, tile: Tile, buffers: list[BufferOp], stack: int
) -> Iterator[Violation]:
    limit = design.kind(tile).memory_bytes
    needed = stack + sum(num_bytes(buffer) for buffer in buffers)
    if needed > limit:
        what = f"{len(buffers)} buffers and {stack} bytes of stack"
        yield Violation(tile, "data memory", needed, limit, what)


def _check_banks(
    design: PlacedDesign, tile: Tile, buffers: list[BufferOp], stack: int
) -> Iterator[Violation]:
    kind = design.kind(tile)
    used: dict[int, int] = defaultdict(int)
    for buffer in buffers:
        if buffer.mem_bank is None:
            continue
        bank = buffer.mem_bank.value.data
        used[bank] += num_bytes(buffer)
        if bank >= kind.num_banks:
            yield Violation(
                tile, "bank", bank, kind.num_banks - 1, f"buffer {name_of(buffer)}"
            )
    for bank, needed in sorted(used.items()):
        if bank < kind.num_banks:
            limit = kind.memory_bytes // kind.num_banks
            needed += stack if bank == 0 else 0
            if needed > limit:
                what = "buffers of that bank, with the stack in bank 0"
                yield Violation(tile, f"memory of bank {bank}", needed, limit, what)


def _check_addresses(
    design: PlacedDesign, tile: Tile, buffers: list[BufferOp], stack: int
) -> Iterator[Violation]:
    spans: list[Span] = [(0, stack, "the stack")] if stack else []
    limit = design.kind(tile).memory_bytes
    for buffer in buffers:
        what = f"buffer {name_of(buffer)}"
        if buffer.address is None:
            if design.is_placed:
                yield Violation(tile, "address", "one", "none given", what)
            continue
        start = buffer.address.value.data
        end = start + num_bytes(buffer)
        if end > limit:
            yield Violation(tile, "address", end, limit, f"{what} ends outside")
        spans.append((start, end - start, what))
    # Sorted by address, each must end where the next begins, or before.
    spans.sort()
    for (start, size, what), (next_start, _, next_what) in pairwise(spans):
        if start + size > next_start:
            yield Violation(
                tile,
                "address",
                start + size,
                next_start,
                f"{what} ends inside {next_what}",
            )
