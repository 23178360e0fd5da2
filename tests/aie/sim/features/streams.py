"""Streams that program the DMA of any tile, bit by bit as AMD's AM025 lays it out."""

from xdna.devices import CORE, MEMTILE, device
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.simulator import VirtualNpu
from xdna.stream.instructions import (
    BlockWrite,
    MaskWrite,
    Sync,
    Write,
    encode,
    tile_address,
)
from xdna.stream.shim_bd import ShimTransfer, operations

LOCAL_MEMORY = 0x80000  # of a memtile, behind its western neighbour's
LOCAL_LOCKS = 64


def virtual_npu(text, **options):
    return VirtualNpu(configuration(parse_module(text)), **options)


def words(name, *parts):
    """A stream of operations, and of lists of them."""
    listed = [part if isinstance(part, list) else [part] for part in parts]
    return encode(device(name), [one for some in listed for one in some])


def shim(name, direction, channel, bd_id, argument, num_words, **options):
    column, offset = options.get("column", 0), options.get("offset_bytes", 0)
    token = options.get("token", direction == "S2MM")
    transfer = ShimTransfer(
        *(column, direction, channel, bd_id, argument, offset),
        *((1, 1, 1, num_words), (0, 0, 0, 1), token),
    )
    return operations(device(name), transfer)


def bits(*fields):
    """A word of (value, lowest bit, number of bits)s."""
    word = 0
    for value, low, count in fields:
        assert 0 <= value < 1 << count
        word |= value << low
    return word


def locks(acquire, release):
    """A BD's (value, id)s of both: 7 bits each, below zero for greater-or-equal."""
    value, id = acquire or (0, 0)
    release_value, release_id = release or (0, 0)
    return value % 128, id, acquire is not None, release_value, release_id


def memtile_bd(
    tile, id, address, length, dims=(), acquire=None, release=None, next_bd=None, **more
):
    """Writes a BD of a memtile; `dims` has (wrap, stride)s from D0 outwards."""
    (w0, s0), (w1, s1), (w2, s2), (_, s3) = [*dims, *[(0, 1)] * 4][:4]
    before, after = more.get("before", (0, 0, 0)), more.get("after", (0, 0, 0))
    value, lock, enable, released, release_lock = locks(acquire, release)
    packet_type, packet_id = more.get("packet", (0, 0))
    data = (
        bits(("packet" in more, 31, 1), (packet_type, 28, 3), (packet_id, 23, 5))
        | length,
        bits((before[0], 26, 6), (next_bd or 0, 20, 6), (next_bd is not None, 19, 1))
        | address // 4,
        bits((w0, 17, 10), (s0 - 1, 0, 17)),
        bits((before[1], 27, 5), (w1, 17, 10), (s1 - 1, 0, 17)),
        bits((before[2], 27, 4), (w2, 17, 10), (s2 - 1, 0, 17)),
        bits((after[2], 28, 4), (after[1], 23, 5), (after[0], 17, 6), (s3 - 1, 0, 17)),
        bits(
            (more.get("iterations", 1) - 1, 17, 6),
            (more.get("iteration_stride", 1) - 1, 0, 17),
        ),
        bits((1, 31, 1), (released, 24, 7), (release_lock, 16, 8))
        | bits((enable, 15, 1), (value, 8, 7), (lock, 0, 8)),
    )
    return BlockWrite(tile_address(*tile, MEMTILE.dma.bd_address + 32 * id), data)


def core_bd(
    tile, id, address, length, dims=(), acquire=None, release=None, next_bd=None, **more
):
    """Writes a BD of a core; `dims` has (wrap, stride)s from D0 outwards."""
    (w0, s0), (w1, s1), (_, s2) = [*dims, *[(0, 1)] * 3][:3]
    value, lock, enable, released, release_lock = locks(acquire, release)
    packet_type, packet_id = more.get("packet", (0, 0))
    data = (
        bits((address // 4, 14, 14), (length, 0, 14)),
        bits(("packet" in more, 30, 1), (packet_id, 19, 5), (packet_type, 16, 3)),
        bits((s1 - 1, 13, 13), (s0 - 1, 0, 13)),
        bits((w1, 21, 8), (w0, 13, 8), (s2 - 1, 0, 13)),
        bits(
            (more.get("iterations", 1) - 1, 13, 6),
            (more.get("iteration_stride", 1) - 1, 0, 13),
        ),
        bits((next_bd or 0, 27, 4), (next_bd is not None, 26, 1), (1, 25, 1))
        | bits((released, 18, 7), (release_lock, 13, 4))
        | bits((enable, 12, 1), (value, 5, 7), (lock, 0, 4)),
    )
    return BlockWrite(tile_address(*tile, CORE.dma.bd_address + 32 * id), data)


def push(tile, direction, channel, bd_id, repeats=1, token=False):
    dma = (MEMTILE if tile[1] == 1 else CORE).dma
    task = bits((token, 31, 1), (repeats - 1, 16, 8), (bd_id, 0, 6))
    control = tile_address(*tile, dma.control_address(direction, channel))
    controller = [MaskWrite(control, 26 << 8, 0x1F00)] if token else []
    return [*controller, Write(control + 4, task)]


def sync(column, direction, channel, row=0):
    return Sync(column, row, direction, channel)
