"""The slots in which a core's program keeps its integers: one for each SSA value.

Equal constants share a slot.
"""

from dataclasses import dataclass, field

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType
from xdsl.ir import Attribute, Operation, OpResult, SSAValue

from xdna.check.placed_design import Tile

INDEX_BITS = 64
TEMPORARY = 0  # the slot that no value owns; it breaks cycles of moves


@dataclass
class Slots:
    """The slots of the core of `tile`, in the order of their first use."""

    tile: Tile
    count: int = TEMPORARY + 1
    values: dict[SSAValue, int] = field(default_factory=dict)
    constants: dict[int, int] = field(default_factory=dict)  # slot by number

    def __call__(self, op: Operation, value: SSAValue) -> int:
        """The slot of a value that `op` uses or makes."""
        bits = self.bits(op, value.type)
        constant = value.op if isinstance(value, OpResult) else None
        if isinstance(constant, ConstantOp):
            assert isinstance(constant.value, IntegerAttr)
            number = _sign_extended(constant.value.value.data, bits)
            if number not in self.constants:
                self.constants[number] = self._new()
            return self.constants[number]
        if value not in self.values:
            self.values[value] = self._new()
        return self.values[value]

    def bits(self, op: Operation, type: Attribute) -> int:
        """Number of bits of a value.

        Raises:
          ValueError: if a slot cannot hold the type.
        """
        if isinstance(type, IndexType):
            return INDEX_BITS
        if isinstance(type, IntegerType) and 1 <= type.width.data <= INDEX_BITS:
            width: int = type.width.data
            return width
        what = f"index or an integer of 1 to {INDEX_BITS} bits, got {type}"
        raise unsupported(self.tile, op, f"needs values of type {what}")

    def _new(self) -> int:
        self.count += 1
        return self.count - 1


def unsupported(tile: Tile, op: Operation, what: str) -> ValueError:
    return ValueError(f"core of tile {tile}: {op.name} {what}")


def _sign_extended(number: int, bits: int) -> int:
    """The number as slots hold it: sign-extended, except that i1 is 0 or 1."""
    number %= 2**bits
    return number - 2**bits if bits > 1 and number >> (bits - 1) else number
