"""The check that the linker has room for a core's constants: .data, .rodata and .bss.

mlir-aie 1.3 puts them behind the highest buffer or the stack of the core's own tile,
whatever gaps there are below. Later versions take the largest gap, which is never
smaller. If they do not fit, the linker fails, minutes into a build.
"""

from collections.abc import Iterator

from xdsl.dialects.func import CallOp

from xdna.check.memory import num_bytes
from xdna.check.placed_design import PlacedDesign, Tile, Violation
from xdna.devices import CONSTANTS_BYTES, CORE, RUNTIME_DATA_BYTES
from xdna.dialect.aie import BufferOp, CoreOp


def check_constants(design: PlacedDesign) -> Iterator[Violation]:
    rooms = constants_room(design)
    for tile, core in design.on_tiles(CoreOp):
        needed, whose = _needed(design, core)
        room = rooms.get(tile, needed)
        if 0 <= room < needed:  # below 0 a buffer ends outside, which is reported so
            end = CORE.memory_bytes - room
            yield Violation(
                tile,
                "memory behind the buffers",
                needed,
                room,
                f".data and .rodata of {whose} lie there, and the last buffer ends at "
                f"{end}; move buffers into gaps below, or take smaller ones",
            )


def constants_room(design: PlacedDesign) -> dict[Tile, int]:
    """Bytes left for the linker on each tile with a core to link and placed buffers."""
    ends = {
        tile: [core.stack_size.value.data]
        for tile, core in design.on_tiles(CoreOp)
        if core.elf_file is None and design.kind(tile) is CORE
    }
    for tile, buffer in design.on_tiles(BufferOp):
        if buffer.address is None:
            ends.pop(tile, None)
        elif tile in ends:
            ends[tile].append(buffer.address.value.data + num_bytes(buffer))
    return {tile: CORE.memory_bytes - max(places) for tile, places in ends.items()}


def _needed(design: PlacedDesign, core: CoreOp) -> tuple[int, str]:
    """Bytes of a core's constants, and the names of what they belong to.

    A core's own loops have none; for kernels of unknown size there is an estimate.
    """
    objects = core.objects
    if objects and design.data_bytes.keys() >= set(objects):
        kernels = sum(design.data_bytes[name] for name in objects)
        return kernels + RUNTIME_DATA_BYTES, f"{' and '.join(objects)} and the runtime"
    if objects or any(isinstance(op, CallOp) for op in core.walk()):
        return CONSTANTS_BYTES, " and ".join(objects) or "the functions it calls"
    return RUNTIME_DATA_BYTES, "the runtime"
