"""Operands that stay the same over the iterations of a loop.

A product in the body of `lax.scan`, `fori_loop` or `while_loop` may take a value from
outside the loop, for example weights during gradient accumulation. The host packs such
an operand in a call of its own, which XLA moves in front of the loop.
"""

from typing import Any

import jax

from jax_npu.jax_private import (
    current_trace,
    is_staging,
    outer_trace,
    trace_of,
    traced_for,
    value_in_outer_trace,
)

LOOP_BODIES = ("scan", "fori_loop", "while_body")  # as jax's debug_info has them


def is_loop_constant(operand: Any) -> bool:
    """Whether `operand` comes from outside a loop whose body is now being traced.

    It is a hint: a value that enters through a `jit` or `checkpoint` inside the body
    looks like one that the body computes.
    """
    while isinstance(operand, jax.core.Tracer) and not is_staging(trace_of(operand)):
        operand = value_in_outer_trace(operand)
    made_by = trace_of(operand)
    tracing, in_loop = current_trace(), False
    while tracing is not None and tracing is not made_by:
        in_loop = in_loop or traced_for(tracing) in LOOP_BODIES
        tracing = outer_trace(tracing)
    return in_loop
