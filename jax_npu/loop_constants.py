"""Operands that stay the same over the iterations of a loop.

A product in the body of `lax.scan`, `fori_loop` or `while_loop` may take a value from
outside, as weights are over the steps of gradient accumulation. The host packs such an
operand in a call of its own, which XLA moves in front of the loop.
"""

from typing import Any

import jax
from jax._src.core import trace_ctx  # what is being traced: jax has no public name

LOOP_BODIES = ("scan", "fori_loop", "while_body")  # as jax's debug_info has them


def is_loop_constant(operand: Any) -> bool:
    """Whether `operand` comes from outside a loop whose body is now being traced.

    It is a hint: what enters the body through a `jit` or `checkpoint` inside it looks
    like a value of the body.
    """
    made_by = _made_by(operand)
    tracing, in_loop = trace_ctx.trace, False
    while tracing is not None and tracing is not made_by:
        in_loop = in_loop or _traced_for(tracing) in LOOP_BODIES
        tracing = getattr(tracing, "parent_trace", None)
    return in_loop


def _made_by(operand: Any) -> Any:
    """The trace of a jaxpr that has the operand; of a concrete array none."""
    while isinstance(operand, jax.core.Tracer):
        if hasattr(operand._trace, "frame"):
            return operand._trace
        # a derivative's, or vmap's
        operand = operand.primal if hasattr(operand, "primal") else operand.val
    return None


def _traced_for(trace: Any) -> str | None:
    """What wants the jaxpr that a trace makes."""
    debug_info = getattr(getattr(trace, "frame", None), "debug_info", None)
    return getattr(debug_info, "traced_for", None)
