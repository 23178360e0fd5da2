"""Endless DMA programs of a tile, from the list of transfers that each channel repeats.

A channel's buffer descriptors (BDs) are a ring of blocks: each names its follower, and
the last one names the first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.builder import ImplicitBuilder
from xdsl.ir import Block, Region, SSAValue

from xdna.devices import Dma
from xdna.dialect.aie import (
    DmaBdOp,
    DmaStartOp,
    EndOp,
    NextBdOp,
    UseLockOp,
)


@dataclass(frozen=True)
class Transfer:
    """One BD: it waits for a lock, moves `length` elements, releases the other lock.

    It takes `amount` from the one and adds it to the other.

    `dims` are (size, stride) in elements, outermost first; without them the transfer
    is linear.
    """

    buffer: SSAValue
    length: int
    acquire: SSAValue
    release: SSAValue
    offset: int = 0
    dims: Sequence[tuple[int, int]] | None = None
    amount: int = 1


@dataclass(frozen=True)
class Channel:
    """A DMA channel and the transfers that it repeats forever."""

    direction: str
    number: int
    transfers: Sequence[Transfer]


def dma_program(dma: Dma, channels: Sequence[Channel]) -> Region:
    """The body of an `aie.mem` or `aie.memtile_dma`."""
    region = Region()
    start = Block()
    region.add_block(start)
    num_used: Counter[range] = Counter()  # BDs, by the ids that channels share
    for channel in channels:
        ids = dma.bd_ids(channel.number)
        first = num_used[ids]
        num_used[ids] += len(channel.transfers)
        blocks = [Block() for _ in channel.transfers]
        chain = Block()  # starts the next channel, or ends the program
        with ImplicitBuilder(start):
            DmaStartOp(channel.direction, channel.number, blocks[0], chain)
        for i, transfer in enumerate(channel.transfers):
            following = (i + 1) % len(blocks)
            with ImplicitBuilder(blocks[i]):
                _transfer(transfer, ids[first + i], ids[first + following])
                NextBdOp(blocks[following])
            region.add_block(blocks[i])
        region.add_block(chain)
        start = chain
    with ImplicitBuilder(start):
        EndOp()
    return region


def _transfer(transfer: Transfer, bd_id: int, next_bd_id: int) -> None:
    UseLockOp(transfer.acquire, "AcquireGreaterEqual", transfer.amount)
    DmaBdOp(
        transfer.buffer,
        transfer.offset,
        transfer.length,
        transfer.dims,
        bd_id=bd_id,
        next_bd_id=next_bd_id,
    )
    UseLockOp(transfer.release, "Release", transfer.amount)
