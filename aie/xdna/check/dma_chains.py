"""The DMA programs of a design as chains: which channel runs which BDs."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from xdsl.ir import Block, Region

from xdna.check.placed_design import PlacedDesign, Tile
from xdna.dialect.aie import (
    DmaBdOp,
    DmaStartOp,
    EndOp,
    MemOp,
    MemTileDmaOp,
    NextBdOp,
    ShimDmaOp,
    UseLockOp,
)

PROGRAMS = {MemOp: "core", MemTileDmaOp: "memtile", ShimDmaOp: "shim"}


@dataclass
class Chain:
    """One `aie.dma_start` and the BDs that it runs."""

    tile: Tile
    direction: str
    channel: int
    repeat_count: int
    bds: list[DmaBdOp] = field(default_factory=list)
    uses: list[list[UseLockOp]] = field(default_factory=list)  # for each BD
    loops_to: int | None = None  # position of the BD that follows the last
    fault: str | None = None  # the reason why it is not a chain

    def __str__(self) -> str:
        return f"{self.direction} {self.channel}"


def chains(design: PlacedDesign) -> Iterator[Chain]:
    """The chains of every channel that some tile's program starts."""
    for kind in PROGRAMS:
        for tile, program in design.on_tiles(kind):
            for start in starts(program.body):
                yield _follow(tile, start)


def starts(body: Region) -> Iterator[DmaStartOp]:
    """The channels that a program starts, in its order."""
    block, seen = body.blocks.first, set()
    while block is not None and block not in seen:
        seen.add(block)
        last = block.last_op
        if not isinstance(last, DmaStartOp):
            return
        yield last
        block = last.chain


def _follow(tile: Tile, start: DmaStartOp) -> Chain:
    chain = Chain(
        tile,
        start.direction,
        start.channel_index.value.data,
        start.repeat_count.value.data,
    )
    positions: dict[Block, int] = {}
    block = start.dest
    while block not in positions:
        bds = [op for op in block.ops if isinstance(op, DmaBdOp)]
        last = block.last_op
        if isinstance(last, EndOp) and not bds:
            return chain
        if len(bds) != 1:
            chain.fault = f"a block of {len(bds)} BDs"
            return chain
        positions[block] = len(chain.bds)
        chain.bds.append(bds[0])
        chain.uses.append([op for op in block.ops if isinstance(op, UseLockOp)])
        if isinstance(last, EndOp):
            return chain
        if not isinstance(last, NextBdOp):
            chain.fault = "a BD that neither aie.next_bd nor aie.end follows"
            return chain
        block = last.dest
    chain.loops_to = positions[block]
    return chain
