"""Rematerialisation policies for `jax.checkpoint` that know the GEMM primitive.

JAX's own policies (`jax.checkpoint_policies`) recognise only `lax.dot_general`, which
is what offloaded programs have; they would compute every other GEMM again.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive

from jax_npu.contraction import dimension_numbers_from_spec
from jax_npu.primitive.gemm import gemm_p

__all__ = [
    "dots_saveable",
    "dots_with_no_batch_dims_saveable",
    "offload_dot_with_no_batch_dims",
]

Policy = Callable[..., Any]


def dots_saveable(primitive: Primitive, *avals: Any, **params: Any) -> Any:
    """Saves the result of every GEMM, on any backend."""
    stock = jax.checkpoint_policies.dots_saveable
    return _as_of_lax(stock, primitive, *avals, **params)


def dots_with_no_batch_dims_saveable(
    primitive: Primitive, *avals: Any, **params: Any
) -> Any:
    """Saves the GEMMs without batch dimensions: linear layers, but not attention."""
    stock = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return _as_of_lax(stock, primitive, *avals, **params)


def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
    """A policy that moves the results of linear layers to another memory and back.

    Args:
      offload_src, offload_dst: kinds of memory, such as "device" and "pinned_host".
    """
    stock = jax.checkpoint_policies.offload_dot_with_no_batch_dims
    return functools.partial(_as_of_lax, stock(offload_src, offload_dst))


def _as_of_lax(stock: Policy, primitive: Primitive, *avals: Any, **params: Any) -> Any:
    """What one of jax's policies says, with our products as products of lax."""
    if primitive is not gemm_p:
        return stock(primitive, *avals, **params)
    numbers = dimension_numbers_from_spec(params["spec"])
    return stock(jax.lax.dot_general_p, *avals, dimension_numbers=numbers)
