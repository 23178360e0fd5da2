"""The target check: the hardware limits that a design breaks, before it is built.

Text that parses may still ask for a lock that a tile lacks or a stride that no field
holds. Compilers find some of that late, and the rest makes silicon hang or corrupts its
results. Every limit comes from `xdna.devices`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from xdna.check.constants import check_constants, constants_room
from xdna.check.dma import check_dma
from xdna.check.locks import check_core_reach, check_lock_uses, check_locks
from xdna.check.memory import check_buffers, check_memory
from xdna.check.placed_design import PlacedDesign, Tile, Violation
from xdna.check.program_memory import check_programs
from xdna.check.routes import check_flows, check_joined, check_routes
from xdna.check.sequence import check_sequences
from xdna.devices import CORE, DEVICES
from xdna.dialect.aie import CoreOp, DeviceOp, TileOp

Check = Callable[[PlacedDesign], Iterator[Violation]]

# What a run needs. The rest is for the compiler to find, or up to the stream.
RUN_CHECKS: tuple[Check, ...] = (
    check_buffers,
    check_locks,
    check_lock_uses,
    check_core_reach,
    check_dma,
    check_flows,
)
CHECKS: tuple[Check, ...] = (
    check_memory,
    *RUN_CHECKS[1:],
    check_programs,
    check_constants,
    check_joined,
    check_routes,
    check_sequences,
)

__all__ = ["RUN_CHECKS", "Violation", "check_design", "fullest_core"]


def check_design(
    module: ModuleOp,
    is_placed: bool = True,
    program_bytes: Mapping[str, int] | None = None,
    data_bytes: Mapping[str, int] | None = None,
    checks: Sequence[Check] = CHECKS,
) -> list[Violation]:
    """All limits that a design breaks.

    Args:
      is_placed: whether every buffer, lock and BD must have its place.
      program_bytes, data_bytes: sizes of the objects that cores link, by `link_with`.
      checks: which are made, besides that of tiles.
    """
    devices = [op for op in module.walk() if isinstance(op, DeviceOp)]
    if not devices:
        return [Violation(None, "device", "an aie.device", "none", "nothing to check")]
    violations = []
    for op in devices:
        device = _device(op)
        if device is None:  # without limits there is nothing else to check
            number = op.device.value.data
            what = f"known are {', '.join(DEVICES)}"
            violations.append(Violation(None, "device", number, "known ones", what))
            continue
        design = PlacedDesign(
            op,
            DEVICES[device],
            is_placed,
            dict(program_bytes or {}),
            dict(data_bytes or {}),
        )
        violations += _check_tiles(design)
        for check in checks:
            violations += check(design)
    return violations


def fullest_core(module: ModuleOp) -> tuple[Tile, int] | None:
    """The core with the least room for constants, and its bytes; None without cores."""
    rooms = [
        (room, tile)
        for op in module.walk()
        if isinstance(op, DeviceOp) and (device := _device(op)) is not None
        for tile, room in constants_room(PlacedDesign(op, DEVICES[device])).items()
    ]
    if not rooms:
        return None
    room, tile = min(rooms)
    return tile, room


def _device(op: DeviceOp) -> str | None:
    for device in DEVICES.values():
        if device.mlir_number == op.device.value.data:
            return device.name
    return None


def _check_tiles(design: PlacedDesign) -> Iterator[Violation]:
    seen: set[Tile] = set()
    for op in design.ops(TileOp):
        tile = op.col.value.data, op.row.value.data
        if not design.has(tile):
            columns, rows = design.device.num_columns, design.device.num_rows
            limit = f"({columns - 1}, {rows - 1})"
            what = f"{design.device.name} has no such tile"
            yield Violation(tile, "tile", str(tile), limit, what)
        if tile in seen:
            yield Violation(tile, "tile", 2, 1, "declared twice")
        seen.add(tile)
    cores: set[Tile] = set()
    for tile, core in design.on_tiles(CoreOp):
        if design.kind(tile) is not CORE:
            kind = design.kind(tile).name
            yield Violation(tile, "core", "a core tile", kind, core.name)
        if tile in cores:
            yield Violation(tile, "core", 2, 1, "two programs for one core")
        cores.add(tile)
        if core.stack_size.value.data == 0:
            yield Violation(tile, "stack", 1, 0, f"bytes of {core.name}")
        if core.elf_file is None and not any(block.ops for block in core.body.blocks):
            yield Violation(tile, "core", "an aie.end", "none", f"body of {core.name}")
    for operation in _strangers(design):
        what = "operand is not an aie.tile"
        yield Violation(None, operation.name, "an aie.tile", "other", what)


def _strangers(design: PlacedDesign) -> Iterator[Operation]:
    """Operations on a tile that is no `aie.tile`."""
    for op in design.op.walk():
        for name in ("tile", "source", "dest"):
            value = getattr(op, name, None) if op.name.startswith("aie.") else None
            if isinstance(value, SSAValue) and not isinstance(value.owner, TileOp):
                yield op
