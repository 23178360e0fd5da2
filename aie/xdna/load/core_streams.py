"""A core's accesses to its stream port, as instructions of a configuration."""

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import IntegerAttr, i32
from xdsl.ir import OpResult

from xdna.dialect.foreign.ops import GetStreamOp, PutStreamOp
from xdna.load.core_slots import Slots, unsupported


def stream_words(slots: Slots, op: PutStreamOp | GetStreamOp) -> list[str | int]:
    """The words of the instruction.

    Raises:
      ValueError: unless it moves an i32 over port 0, the only one of a core of AIE-ML.
    """
    channel = op.channel.op if isinstance(op.channel, OpResult) else None
    if not (
        isinstance(channel, ConstantOp)
        and isinstance(channel.value, IntegerAttr)
        and channel.value.value.data == 0
    ):
        raise unsupported(slots.tile, op, "needs stream 0, got another or a variable")
    if op.value.type != i32:
        raise unsupported(slots.tile, op, f"needs an i32, got {op.value.type}")
    verb = "put" if isinstance(op, PutStreamOp) else "get"
    return [verb, slots(op, op.value)]
