"""The slots in which a core's program keeps its numbers: one for each SSA value.

A slot holds 64 bits: an integer sign-extended, the bits of a float, or a place (see
`core_places`). Equal constants share a slot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xdsl.dialects import memref
from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    AnyFloat,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
)
from xdsl.ir import Attribute, Operation, OpResult, SSAValue

from xdna.check.placed_design import Tile
from xdna.dialect.aie import BufferOp
from xdna.dialect.foreign import index
from xdna.dialect.foreign.memrefs import CastOp

INDEX_BITS = 64
TEMPORARY = 0  # the slot that no value owns; it breaks cycles of moves
# Views of all of their source, from its begin on.
RENAMINGS = (
    memref.AssumeAlignmentOp,
    CastOp,
    memref.MemorySpaceCastOp,
    memref.CollapseShapeOp,
    memref.ExpandShapeOp,
)
OFFSET_BITS = 32  # of a place: the lower bits are bytes from a buffer's begin


@dataclass
class Slots:
    """The slots of the core of `tile`, in the order of their first use."""

    tile: Tile
    buffers: Mapping[BufferOp, int]  # their indices in the configuration
    count: int = TEMPORARY + 1
    values: dict[SSAValue, int] = field(default_factory=dict)
    constants: dict[int, int] = field(default_factory=dict)  # slot by number

    def __call__(self, op: Operation, value: SSAValue) -> int:
        """The slot of a value that `op` uses or makes."""
        value = whole(value)
        number = self._constant(op, value)
        if number is not None:
            return self.constant(number)
        if value not in self.values:
            self.values[value] = self.new()
        return self.values[value]

    def constant(self, number: int) -> int:
        """The slot of a number of 64 bits."""
        if number not in self.constants:
            self.constants[number] = self.new()
        return self.constants[number]

    def new(self) -> int:
        """A slot that nothing else uses."""
        self.count += 1
        return self.count - 1

    def bits(self, op: Operation, type: Attribute) -> int:
        """Number of bits of a value.

        Raises:
          ValueError: if a slot cannot hold the type.
        """
        if isinstance(type, IndexType | MemRefType):
            return INDEX_BITS
        width: int
        if isinstance(type, IntegerType) and 1 <= type.width.data <= INDEX_BITS:
            width = type.width.data
            return width
        if isinstance(type, AnyFloat) and type.bitwidth <= INDEX_BITS:
            width = type.bitwidth
            return width
        what = f"index, a float or an integer of 1 to {INDEX_BITS} bits, got {type}"
        raise unsupported(self.tile, op, f"needs values of type {what}")

    def _constant(self, op: Operation, value: SSAValue) -> int | None:
        bits = self.bits(op, value.type)
        source = value.op if isinstance(value, OpResult) else None
        match source:
            case BufferOp():
                return self.buffers[source] << OFFSET_BITS
            case ConstantOp() | index.ConstantOp() | index.BoolConstantOp():
                number = source.value
            case _ if source is not None and source.name in NO_NUMBERS:
                raise unsupported(self.tile, op, f"needs a number, got {source.name}")
            case _:
                return None
        if isinstance(number, IntegerAttr):
            return _sign_extended(number.value.data, bits)
        if isinstance(number, FloatAttr):
            data = number.type.pack([number.value.data])
            return int.from_bytes(data, "little")
        raise unsupported(self.tile, op, f"needs a single number, got {number}")


def whole(value: SSAValue) -> SSAValue:
    """The memref of which a value is another name, and any other value itself."""
    while isinstance(value, OpResult) and isinstance(value.op, RENAMINGS):
        value = value.op.operands[0]
    return value


NO_NUMBERS = ("aie.lock", "aie.tile", "aie.core", "aie.mem")


def unsupported(tile: Tile, op: Operation, what: str) -> ValueError:
    return ValueError(f"core of tile {tile}: {op.name} {what}")


def _sign_extended(number: int, bits: int) -> int:
    """The number as slots hold it: sign-extended, except that i1 is 0 or 1."""
    number %= 2**bits
    return number - 2**bits if bits > 1 and number >> (bits - 1) else number
