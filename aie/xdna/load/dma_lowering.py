"""The DMA programs of memtiles and cores as `bd` and `start` lines, in words.

The target check has passed: strides, contiguous bytes and addresses are whole words,
and a buffer descriptor (BD) acquires at most one lock and releases at most one.
"""

from collections.abc import Iterator, Mapping, Sequence

from xdsl.dialects.builtin import IntegerAttr

from xdna.check.bd import dimensions_in_use
from xdna.check.dma_chains import Chain, chains
from xdna.check.placed_design import (
    PlacedDesign,
    buffer_of,
    element_bytes,
    lock_of,
)
from xdna.devices import WORD_BYTES
from xdna.dialect.aie import DmaBdOp, DmaStartOp, LockOp, ShimDmaOp, UseLockOp
from xdna.dialect.attrs import DIRECTIONS
from xdna.load.waits import lock_value

NO_LOCK = (-1, 0)  # index, value
END_OF_CHAIN = -1
# Attributes of aie.dma_bd in later releases of mlir-aie that change what it transfers.
CHANGED_BY = (
    *("iteration", "iter_size", "iter_stride", "out_of_order_id"),
    *("offset_parameter", "length_parameter"),
)


def dma_lines(
    design: PlacedDesign, locks: Mapping[LockOp, int]
) -> Iterator[Sequence[object]]:
    """The BDs and then the start of each channel; `locks` has the locks' indices.

    Raises:
      ValueError: naming the tile, if a program has no counterpart in a configuration.
    """
    for tile, _ in design.on_tiles(ShimDmaOp):
        raise ValueError(
            f"tile {tile}: aie.shim_dma addresses host memory, which a configuration "
            "does not have; program shims in the instruction stream"
        )
    for start in design.op.walk():
        if isinstance(start, DmaStartOp) and start.pad_value is not None:
            _check_pad(f"channel {start.channel_index.value.data}", start.pad_value)
    for chain in chains(design):
        ids = [_id(chain, bd) for bd in chain.bds]
        end = END_OF_CHAIN if chain.loops_to is None else ids[chain.loops_to]
        for id, bd, next_id, uses in zip(ids, chain.bds, [*ids[1:], end], chain.uses):
            _check_supported(chain, id, bd)
            order = next_id, *_locks(locks, uses)
            pattern = _pattern(design, chain, bd)
            words = *_memory(design, bd), *order, *pattern, *_packet(chain, bd)
            yield "bd", *chain.tile, id, *words
        direction = DIRECTIONS[chain.direction]
        repeats = chain.repeat_count + 1
        yield "start", *chain.tile, direction, chain.channel, ids[0], repeats


def _id(chain: Chain, bd: DmaBdOp) -> int:
    if bd.bd_id is None:
        raise ValueError(f"tile {chain.tile}: a BD of {chain} has no id")
    return bd.bd_id.value.data


def _check_supported(chain: Chain, id: int, bd: DmaBdOp) -> None:
    where = f"tile {chain.tile}: BD {id} of {chain}"
    for name in CHANGED_BY:
        if name in bd.attributes:
            raise ValueError(f"{where}: attribute {name} is not supported")
    if bd.pad_value is not None:
        _check_pad(where, bd.pad_value)


def _check_pad(where: str, value: IntegerAttr) -> None:
    if value.value.data:
        raise ValueError(f"{where}: pads must be zeros, got {value.value.data}")


def _locks(locks: Mapping[LockOp, int], uses: Sequence[UseLockOp]) -> list[int]:
    """Index and value of the lock to acquire, and of the one to release."""
    acquire = release = NO_LOCK
    for use in uses:
        lock = lock_of(use.lock)
        assert lock is not None
        if use.action_name == "Release":
            release = locks[lock], lock_value(use)
        else:
            acquire = locks[lock], lock_value(use)
    return [*acquire, *release]


def _memory(design: PlacedDesign, bd: DmaBdOp) -> list[int]:
    """The tile with the buffer, the address of the first byte, the number of words."""
    buffer = buffer_of(bd.buffer)
    assert buffer is not None
    assert buffer.address is not None
    tile = design.tile(buffer.tile)
    assert tile is not None
    width = element_bytes(bd.buffer.type)
    address = buffer.address.value.data + bd.offset.value.data * width
    return [*tile, address, bd.length * width // WORD_BYTES]


def _packet(chain: Chain, bd: DmaBdOp) -> list[int]:
    """ID and type of the packets that a BD sends, if it does."""
    if bd.packet is None or chain.direction != "MM2S":
        return []
    packet_type, packet_id = bd.packet.data
    return [packet_id, packet_type]


def _pattern(design: PlacedDesign, chain: Chain, bd: DmaBdOp) -> list[int]:
    """Number of dimensions, (size, stride)s, number of pads, (before, after)s."""
    width = element_bytes(bd.buffer.type)
    dims, pads = dimensions_in_use(bd, design.kind(chain.tile).dma)
    words = [len(dims)]
    for i, (size, stride) in enumerate(dims):
        # A contiguous innermost dimension counts words. All others count elements,
        # which are whole words there.
        if i == len(dims) - 1 and stride == 1:
            words += [size * width // WORD_BYTES, 1]
        else:
            words += [size, stride * width // WORD_BYTES]
    words.append(len(pads))
    for i, zeros in enumerate(pads):
        # Zeros are words in the innermost dimension, and its steps in the others.
        unit = width / WORD_BYTES if i == len(pads) - 1 else 1
        words += [int(count * unit) for count in zeros]
    return words
