"""Operands that stay the same over the iterations of a loop.

A product in the body of `lax.scan`, `fori_loop` or `while_loop` may take a value from
outside the loop, for example weights during gradient accumulation. The host packs such
an operand in a call of its own, which XLA moves in front of the loop.
"""

from typing import Any

import jax
from jax._src.core import trace_ctx  # what is being traced: jax has no public name

LOOP_BODIES = ("scan", "fori_loop", "while_body")  # as jax's debug_info has them


def is_loop_constant(operand: Any) -> bool:
    """Whether `operand` comes from outside a loop whose body is now being traced.

    It is a hint: a value that enters through a `jit` or `checkpoint` inside the body
    looks like one that the body computes.
    """
    while isinstance(operand, jax.core.Tracer) and not _is_staged(operand._trace):
        operand = _without_derivative(operand)
    made_by = getattr(operand, "_trace", None)  # a concrete array has none
    tracing, in_loop = trace_ctx.trace, False
    while tracing is not None and tracing is not made_by:
        in_loop = in_loop or _traced_for(tracing) in LOOP_BODIES
        tracing = getattr(tracing, "parent_trace", None)
    return in_loop


def _is_staged(trace: Any) -> bool:
    """Whether a trace makes a jaxpr, or runs the operations that it traces."""
    return hasattr(trace, "frame") or not hasattr(trace, "parent_trace")


def _without_derivative(tracer: Any) -> Any:
    """The value in the surrounding trace that a derivative's or vmap's tracer wraps."""
    return tracer.primal if hasattr(tracer, "primal") else getattr(tracer, "val", None)


def _traced_for(trace: Any) -> str | None:
    """The name of the operation for which a trace makes a jaxpr, or None."""
    debug_info = getattr(getattr(trace, "frame", None), "debug_info", None)
    return getattr(debug_info, "traced_for", None)
