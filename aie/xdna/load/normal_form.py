"""One form for designs that say the same in different ways.

The target check and the rest of `xdna.load` know this form alone.
"""

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, Region
from xdsl.rewriter import InsertPoint, Rewriter

from xdna.dialect.aie import (
    BufferOp,
    CoreOp,
    DeviceOp,
    DmaBdOp,
    DmaStartOp,
    EndOp,
    LockOp,
    MemOp,
    MemTileDmaOp,
    NextBdOp,
    ShimDmaOp,
)
from xdna.dialect.foreign.ops import DmaBdPacketOp, DmaOp


def normalize(module: ModuleOp) -> None:
    """Changes a design in place.

    Each `aie.dma` becomes an `aie.dma_start` with a block for each BD, an
    `aie.dma_bd_packet` becomes the `packet` of its BD, and buffers and locks that are
    declared within programs move to their device.
    """
    for device in [op for op in module.walk() if isinstance(op, DeviceOp)]:
        for program in list(device.body.block.ops):
            if isinstance(program, CoreOp | MemOp | MemTileDmaOp | ShimDmaOp):
                _move_declarations(program)
            if isinstance(program, MemOp | MemTileDmaOp | ShimDmaOp):
                _start_each(program.body)
                _address_packets(program.body)


def _move_declarations(program: Operation) -> None:
    for op in list(program.walk()):
        if isinstance(op, BufferOp | LockOp):
            _detach(op)
            Rewriter.insert_op(op, InsertPoint.before(program))


def _address_packets(body: Region) -> None:
    for block in body.blocks:
        for header in [op for op in block.ops if isinstance(op, DmaBdPacketOp)]:
            for bd in block.ops:
                if isinstance(bd, DmaBdOp):
                    bd.properties["packet"] = header.info
            _detach(header)


def _start_each(body: Region) -> None:
    """Replaces the `aie.dma`s of a program, which all lie in its first block."""
    first = body.blocks.first
    dmas = [] if first is None else [op for op in first.ops if isinstance(op, DmaOp)]
    if first is None or not dmas:
        return
    rest = first.last_op  # what ends the program, or starts more channels
    assert rest is not None
    _detach(rest)
    end = Block([EndOp()])  # behind the last BD of a chain that runs once
    body.add_block(end)
    starting = first
    for dma in dmas:
        then = Block()
        bds = [region.detach_block(0) for region in dma.bds]
        last = bds[0] if dma.loops and bds else end
        for block, following in zip(bds, [*bds[1:], last]):
            if isinstance(block.last_op, EndOp):
                _detach(block.last_op)
            block.add_op(NextBdOp(following))
        direction, channel = dma.direction, dma.channel_index.value.data
        repeats = dma.repeat_count.value.data
        start = DmaStartOp(direction, channel, (*bds, end)[0], then, repeats)
        _detach(dma)
        starting.add_op(start)
        body.add_block([*bds, then])
        starting = then
    starting.add_op(rest)


def _detach(op: Operation) -> None:
    block = op.parent
    assert block is not None
    block.detach_op(op)
