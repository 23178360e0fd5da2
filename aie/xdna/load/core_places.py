"""Where a core's memrefs lie: a whole buffer, or a place that is known at run time.

A place is one number: the index of a buffer in the configuration, shifted by
`OFFSET_BITS`, and the byte in it at which the memref begins. So places move, join and
are chosen between as integers do, and a view of a memref is an addition.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import memref
from xdsl.dialects.builtin import DYNAMIC_INDEX, MemRefType
from xdsl.ir import Operation, SSAValue

from xdna.check.placed_design import buffer_of, element_bytes
from xdna.load.core_slots import INDEX_BITS, Slots, unsupported, whole

Word = str | int
Lines = list[list[Word]]
VIEWS = (memref.SubviewOp, memref.ReinterpretCastOp)


@dataclass(frozen=True)
class Places:
    """The memrefs of one core; views append their additions to `lines`."""

    slots: Slots

    def words(self, op: Operation, value: SSAValue) -> list[Word]:
        """`b BUFFER`, or `p SLOT` of a place, for a memref that `op` uses."""
        buffer = buffer_of(whole(value))
        if buffer is not None:
            return ["b", self.slots.buffers[buffer]]
        return ["p", self.slots(op, value)]

    def view(self, op: Operation) -> Lines:
        """The instructions that set the slot of a view to its place."""
        source, result = op.operands[0], op.results[0]
        if isinstance(op, memref.ReinterpretCastOp):
            if buffer_of(whole(source)) is None:
                raise self._unsupported(op, "needs a whole buffer")
            steps: Sequence[int] = (1,) * len(op.static_offsets.get_values())
        else:
            assert isinstance(op, memref.SubviewOp)
            steps = strides_of(self.slots, op, source)
        width = element_bytes(result.type)
        return self._added(op, source, result, steps, width)

    def _added(
        self,
        op: "memref.SubviewOp | memref.ReinterpretCastOp",
        source: SSAValue,
        result: SSAValue,
        steps: Sequence[int],
        width: int,
    ) -> Lines:
        """Adds each offset times its step, in elements, to the source's place."""
        slots, dynamic = self.slots, iter(op.offsets)
        place, constant, lines = slots(op, source), 0, Lines()
        for offset, step in zip(op.static_offsets.get_values(), steps, strict=True):
            if offset != DYNAMIC_INDEX:
                constant += int(offset) * step * width
                continue
            scaled, moved = slots.new(), slots.new()
            factor = slots.constant(step * width)
            index = slots(op, next(dynamic))
            lines.append(["binary", "mul", INDEX_BITS, scaled, index, factor])
            lines.append(["binary", "add", INDEX_BITS, moved, place, scaled])
            place = moved
        target = slots(op, result)
        rest = slots.constant(constant)
        lines.append(["binary", "add", INDEX_BITS, target, place, rest])
        return lines

    def _unsupported(self, op: Operation, what: str) -> ValueError:
        return unsupported(self.slots.tile, op, what)


def strides_of(slots: Slots, op: Operation, value: SSAValue) -> Sequence[int]:
    """Elements from one index of a memref to the next, by dimension.

    Raises:
      ValueError: if they are known at run time only.
    """
    type = value.type
    assert isinstance(type, MemRefType)
    strides = type.get_strides()
    if strides is None or None in strides:
        what = f"needs a memref of known strides, got {type}"
        raise unsupported(slots.tile, op, what)
    return [stride for stride in strides if stride is not None]
