"""Rematerialisation policies for `jax.checkpoint` that know the GEMM primitive.

JAX's own policies (`jax.checkpoint_policies`) recognise only `lax.dot_general`, and so
would compute every GEMM again.
"""

from typing import Any

import jax
from jax.extend.core import Primitive

from jax_npu.gemm import gemm_p

__all__ = ["dots_saveable", "dots_with_no_batch_dims_saveable"]


def dots_saveable(primitive: Primitive, *avals: Any, **params: Any) -> Any:
    """Saves the result of every GEMM, on any backend."""
    return primitive is gemm_p or jax.checkpoint_policies.dots_saveable(
        primitive, *avals, **params
    )


def dots_with_no_batch_dims_saveable(
    primitive: Primitive, *avals: Any, **params: Any
) -> Any:
    """Saves the GEMMs without batch dimensions: linear layers, but not attention."""
    if primitive is gemm_p:
        lhs, rhs, out = map(set, params["spec"])
        return not lhs & rhs & out
    return jax.checkpoint_policies.dots_with_no_batch_dims_saveable(
        primitive, *avals, **params
    )
