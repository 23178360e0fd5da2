"""What programs wait for, locks and streams, in words of a configuration."""

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import AnyFloat, IntegerAttr, i32
from xdsl.ir import OpResult

from xdna.dialect.aie import UseLockOp
from xdna.dialect.foreign.ops import (
    GetLanesOp,
    GetStreamOp,
    PutLanesOp,
    PutStreamOp,
)
from xdna.load.core_slots import Slots, unsupported

STREAMED = PutStreamOp, GetStreamOp, PutLanesOp, GetLanesOp


def lock_value(use: UseLockOp) -> int:
    """What an `aie.use_lock` asks of its lock, as one number.

    Acquire waits for equality and takes nothing: it is below zero, -1 less the value.
    AcquireGreaterEqual takes its value.
    """
    return -1 - use.amount if use.action_name == "Acquire" else use.amount


def stream_words(
    slots: Slots, op: PutStreamOp | GetStreamOp | PutLanesOp | GetLanesOp
) -> list[str | int]:
    """The instruction of a core that accesses its stream port or a cascade.

    Raises:
      ValueError: unless it moves an i32 over port 0, the only one of a core of AIE-ML,
        or the elements of a vector over a cascade.
    """
    if isinstance(op, PutLanesOp | GetLanesOp):
        return _cascade_words(slots, op)
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


def _cascade_words(slots: Slots, op: PutLanesOp | GetLanesOp) -> list[str | int]:
    type = op.values[0].type
    lanes = [slots(op, value) for value in op.values]
    words = [slots.bits(op, type) // 8, len(lanes), *lanes]
    if isinstance(op, PutLanesOp):
        return ["put_cascade", *words]
    # Slots hold integers sign-extended, floats as bits.
    return ["get_cascade", int(not isinstance(type, AnyFloat)), *words]
