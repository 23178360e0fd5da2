"""The check of DMA programs: channels, chains, ids of buffer descriptors (BDs)."""

from collections import defaultdict
from collections.abc import Iterator

from xdsl.ir import Operation

from xdna.check.bd import check_bd
from xdna.check.dma_chains import PROGRAMS, Chain, chains, starts
from xdna.check.placed_design import PlacedDesign, Tile, Violation, lock_of, name_of
from xdna.check.tile_reach import dma_reach
from xdna.devices import MAX_REPEATS, QUEUE_DEPTH
from xdna.dialect.aie import DmaBdOp, DmaStartOp, EndOp, NextBdOp


def check_dma(design: PlacedDesign) -> Iterator[Violation]:
    yield from _check_programs(design)
    owners: dict[tuple[Tile, int], str] = {}  # channel by tile and BD
    for chain in chains(design):
        dma = design.kind(chain.tile).dma
        limit = dma.num_channels(chain.direction)
        if chain.channel >= limit:
            what = "channel out of range"
            yield Violation(
                chain.tile, f"channel {chain}", chain.channel, limit - 1, what
            )
            continue
        yield from _check_chain(chain)
        yield from _check_ids(design, chain, owners)
        for position, bd in enumerate(chain.bds):
            yield from check_bd(design, chain, bd)
            yield from _check_lock_uses(design, chain, position)


def _check_programs(design: PlacedDesign) -> Iterator[Violation]:
    """Each tile has at most one program, of its kind, and no queue overflows."""
    seen: dict[Tile, str] = {}
    for op_type, kind in PROGRAMS.items():
        for tile, program in design.on_tiles(op_type):
            if design.kind(tile).name != kind:
                what = f"{program.name} on a {design.kind(tile).name} tile"
                yield Violation(tile, "DMA program", program.name, "other", what)
            if tile in seen:
                yield Violation(tile, "DMA program", 2, 1, f"{program.name} twice")
            seen[tile] = program.name
            yield from _check_blocks(design, tile, program)
            listed = list(starts(program.body))
            count: dict[str, int] = defaultdict(int)
            for start in listed:
                count[f"{start.direction} {start.channel_index.value.data}"] += 1
            for channel, times in count.items():
                if times > QUEUE_DEPTH:
                    what = "tasks in its queue"
                    yield Violation(
                        tile, f"channel {channel}", times, QUEUE_DEPTH, what
                    )
            # An aie.dma_start names the next one in its `chain`; one that is not linked
            # so would never start.
            unreached = sum(isinstance(op, DmaStartOp) for op in program.walk())
            if unreached > len(listed):
                what = "an aie.dma_start that no chain of them reaches"
                yield Violation(tile, "DMA program", unreached, len(listed), what)


def _check_blocks(
    design: PlacedDesign, tile: Tile, program: Operation
) -> Iterator[Violation]:
    """Blocks end as a program's do, and have no more BDs than the tile."""
    for block in program.regions[0].blocks:
        if not isinstance(block.last_op, DmaStartOp | NextBdOp | EndOp):
            came = "nothing" if block.last_op is None else block.last_op.name
            ends = "aie.dma_start, aie.next_bd or aie.end"
            what = f"the end of a block of {program.name}"
            yield Violation(tile, "DMA program", ends, came, what)
    needed = sum(isinstance(op, DmaBdOp) for op in program.walk())
    limit = design.kind(tile).dma.num_bds
    if needed > limit:
        yield Violation(tile, "BDs", needed, limit, f"of {program.name}")


def _check_chain(chain: Chain) -> Iterator[Violation]:
    resource = f"BD chain of {chain}"
    if chain.fault is not None:
        what = "the chain points nowhere"
        yield Violation(chain.tile, resource, "one BD a block", chain.fault, what)
    elif not chain.bds:
        yield Violation(chain.tile, resource, 1, 0, "the chain has no BD")
    if chain.repeat_count + 1 > MAX_REPEATS:
        needed = chain.repeat_count + 1
        yield Violation(chain.tile, f"repeats of {chain}", needed, MAX_REPEATS, "runs")


def _check_ids(
    design: PlacedDesign, chain: Chain, owners: dict[tuple[Tile, int], str]
) -> Iterator[Violation]:
    usable = design.kind(chain.tile).dma.bd_ids(chain.channel)
    limit = f"{usable[0]}-{usable[-1]}"
    if len(chain.bds) > len(usable):
        what = "BDs of the chain"
        yield Violation(chain.tile, f"BDs of {chain}", len(chain.bds), limit, what)
    ids = [_value(bd, "bd_id") for bd in chain.bds]
    for position, (bd, id) in enumerate(zip(chain.bds, ids)):
        if id is None:
            if design.is_placed:
                what = "a BD without an id"
                yield Violation(chain.tile, f"BD id of {chain}", limit, "none", what)
            continue
        if id not in usable:
            what = "BDs that the channel can use"
            yield Violation(chain.tile, f"BD id of {chain}", id, limit, what)
        if (chain.tile, id) in owners:
            what = f"used by {owners[chain.tile, id]} and by {chain}"
            yield Violation(chain.tile, f"BD {id}", 2, 1, what)
        owners[chain.tile, id] = str(chain)
        # next_bd_id, if given, must agree with the blocks.
        follower = position + 1 if position + 1 < len(ids) else chain.loops_to
        next_id = _value(bd, "next_bd_id")
        follows = "none" if follower is None else ids[follower]
        if None not in (next_id, follows) and not chain.fault and next_id != follows:
            what = "next_bd_id is not the id of the BD that follows"
            yield Violation(
                chain.tile, f"BD {id} of {chain}", str(next_id), str(follows), what
            )


def _check_lock_uses(
    design: PlacedDesign, chain: Chain, position: int
) -> Iterator[Violation]:
    """A BD acquires one lock and releases one, both in reach of the channel."""
    uses = chain.uses[position]
    acquired = sum(use.action_name != "Release" for use in uses)
    for needed, what in ((acquired, "acquired"), (len(uses) - acquired, "released")):
        if needed > 1:
            resource = f"locks {what} by a BD of {chain}"
            yield Violation(chain.tile, resource, needed, 1, "a BD has a field for one")
    reach = dma_reach(design, chain.tile, chain.channel)
    for use in uses:
        lock = lock_of(use.lock)
        tile = None if lock is None else design.tile(lock.tile)
        if lock is not None and tile is not None and tile not in reach:
            what = f"lock {name_of(lock)} is out of the DMA's reach"
            yield Violation(
                chain.tile, f"lock reach of {chain}", str(tile), str(reach), what
            )


def _value(bd: DmaBdOp, name: str) -> int | None:
    attr = bd.bd_id if name == "bd_id" else bd.next_bd_id
    return None if attr is None else attr.value.data
