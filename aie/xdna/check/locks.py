"""The check of locks: ids and values in range, and users that reach the lock's tile."""

from collections.abc import Iterator

from xdsl.ir import Operation

from xdna.check.placed_design import (
    PlacedDesign,
    Tile,
    Violation,
    buffer_of,
    lock_of,
    name_of,
)
from xdna.check.tile_reach import core_reach
from xdna.devices import MAX_LOCK_VALUE
from xdna.dialect.aie import CoreOp, LockOp, UseLockOp
from xdna.dialect.aiex import SetLockOp


def check_locks(design: PlacedDesign) -> Iterator[Violation]:
    taken: dict[tuple[Tile, int], str] = {}
    for tile, lock in design.on_tiles(LockOp):
        what = f"lock {name_of(lock)}"
        init = 0 if lock.init is None else lock.init.value.data
        if not 0 <= init <= MAX_LOCK_VALUE:
            yield Violation(tile, "lock value", init, MAX_LOCK_VALUE, f"{what} at init")
        if lock.lock_id is None:
            if design.is_placed:
                yield Violation(tile, "lock id", "one", "none given", what)
            continue
        id = lock.lock_id.value.data
        limit = design.kind(tile).num_locks - 1
        if id > limit:
            yield Violation(tile, "lock id", id, limit, what)
        if (tile, id) in taken:
            what += f" and {taken[tile, id]}"
            yield Violation(tile, "lock id", f"2 of {id}", 1, what)
        taken[tile, id] = what


def check_lock_uses(design: PlacedDesign) -> Iterator[Violation]:
    for op in design.op.walk():
        if isinstance(op, UseLockOp):
            yield from _check_use(design, op, op.amount)
        elif isinstance(op, SetLockOp):
            yield from _check_use(design, op, op.value.value.data)


def check_core_reach(design: PlacedDesign) -> Iterator[Violation]:
    for tile, core in design.on_tiles(CoreOp):
        reach = core_reach(design, tile)
        seen: set[Operation] = set()
        for op in core.walk():
            for operand in op.operands:
                owner = buffer_of(operand) or lock_of(operand)
                if owner is None or owner in seen:
                    continue
                seen.add(owner)
                there = design.tile(owner.tile)
                if there is not None and there not in reach:
                    yield Violation(
                        tile,
                        "reach of the core",
                        f"{name_of(owner)} of tile {there}",
                        "itself and its core neighbours south, west and north",
                        f"used by {op.name}",
                    )


def _check_use(
    design: PlacedDesign, op: UseLockOp | SetLockOp, value: int
) -> Iterator[Violation]:
    lock = lock_of(op.lock)
    if lock is None:
        yield Violation(None, "lock", "an aie.lock", "none", f"operand of {op.name}")
        return
    tile = design.tile(lock.tile)
    what = f"{op.name} of lock {name_of(lock)}"
    if not 0 <= value <= MAX_LOCK_VALUE:
        yield Violation(tile, "lock value", value, MAX_LOCK_VALUE, what)
