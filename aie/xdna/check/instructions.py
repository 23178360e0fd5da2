"""The check of a runtime sequence's instructions that name a tile, a BD or a buffer.

The rules are those of mlir-aie's verifiers (lib/Dialect/AIEX/IR/AIEXDialect.cpp), and
of the channels that a tile has.
"""

from collections.abc import Iterator

from xdsl.dialects.builtin import IntegerAttr, SymbolRefAttr
from xdsl.ir import Operation

from xdna.check.placed_design import PlacedDesign, Violation
from xdna.devices import MAX_REPEATS
from xdna.dialect.aie import BufferOp
from xdna.dialect.aiex import (
    NpuBlockWriteOp,
    NpuMaskWrite32Op,
    NpuPushQueueOp,
    NpuSyncOp,
    NpuWrite32Op,
)
from xdna.dialect.attrs import DIRECTIONS, keyword_of

WRITES = NpuWrite32Op, NpuMaskWrite32Op, NpuBlockWriteOp


def check_instruction(design: PlacedDesign, op: Operation) -> Iterator[Violation]:
    """Breaches of one instruction; a number known at run time only is left out."""
    if isinstance(op, NpuPushQueueOp):
        yield from _check_push(design, op)
    elif isinstance(op, NpuSyncOp):
        yield from _check_channel(design, op)
    elif isinstance(op, WRITES):
        yield from _check_write(design, op)


def _check_push(design: PlacedDesign, op: NpuPushQueueOp) -> Iterator[Violation]:
    breaches = list(_check_channel(design, op))
    yield from breaches
    if breaches:
        return
    tile = op.column.value.data, op.row.value.data
    channel, where = op.channel.value.data, f"of {op.name}"
    usable = design.kind(tile).dma.bd_ids(channel)
    bd_id, repeat = _number(op, "bd_id"), _number(op, "repeat_count")
    if bd_id is not None and bd_id not in usable:
        ids = f"{usable[0]}-{usable[-1]}"
        what = f"BDs that channel {channel} can use"
        yield Violation(tile, f"BD id {where}", bd_id, ids, what)
    if repeat is not None and not 0 <= repeat < MAX_REPEATS:
        what = "runs after the first"
        yield Violation(tile, f"repeats {where}", repeat, f"0-{MAX_REPEATS - 1}", what)


def _check_channel(
    design: PlacedDesign, op: NpuPushQueueOp | NpuSyncOp
) -> Iterator[Violation]:
    names = "column", "row", "direction", "channel"
    column, row, number, channel = (_number(op, name) for name in names)
    if column is None or row is None:
        return
    tile = column, row
    if min(tile) < 0 or not design.has(tile):
        yield Violation(None, f"tile of {op.name}", str(tile), "a tile", _array(design))
        return
    if number is None or channel is None:
        return
    direction = keyword_of(DIRECTIONS, number)
    limit = design.kind(tile).dma.num_channels(direction) - 1
    if not 0 <= channel <= limit:
        what = f"channels {direction} of a {design.kind(tile).name} tile"
        yield Violation(tile, f"channel of {op.name}", channel, f"0-{limit}", what)


def _check_write(design: PlacedDesign, op: Operation) -> Iterator[Violation]:
    """An address lies in a buffer, or in a tile if both of its numbers are given."""
    symbol = op.properties.get("buffer")
    if isinstance(symbol, SymbolRefAttr):
        name = symbol.root_reference.data
        found = [
            buffer
            for buffer in design.ops(BufferOp)
            if buffer.sym_name is not None and buffer.sym_name.data == name
        ]
        if not found:
            yield Violation(None, f"symbol @{name}", "an aie.buffer", "none", op.name)
        elif found[0].address is None:
            what = f"{op.name} writes to it"
            yield Violation(None, f"buffer {name}", "an address", "none", what)
        return
    column, row = _number(op, "column"), _number(op, "row")
    if column is None or row is None:
        return
    if min(column, row) < 0 or not design.has((column, row)):
        tile = f"({column}, {row})"
        yield Violation(None, f"tile of {op.name}", tile, "a tile", _array(design))


def _number(op: Operation, name: str) -> int | None:
    attr = op.properties.get(name)
    return attr.value.data if isinstance(attr, IntegerAttr) else None


def _array(design: PlacedDesign) -> str:
    device = design.device
    return f"{device.name} has {device.num_columns} columns, {device.num_rows} rows"
