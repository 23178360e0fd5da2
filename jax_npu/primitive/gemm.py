"""Contractions on any backend, as one JAX primitive.

The primitive takes two operands as they lie in memory and a `Spec` that labels their
dimensions. It is bilinear: each of its derivatives is the primitive again, with the
spec's terms permuted. So each rule is a line or two, and no operand is ever transposed
in memory.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.extend.mlir import lower_with_sharding_in_types
from jax.interpreters import ad, batching, mlir, xla
from jax.typing import DTypeLike

from jax_npu.contraction import (
    Spec,
    out_shape,
    unused_label,
)
from jax_npu.jax_private import lower_each_equation
from jax_npu.lowering.loop_constants import is_loop_constant
from jax_npu.lowering.placement.program import GEMM
from jax_npu.lowering.rule import lower_contraction
from jax_npu.lowering.settings import current_settings
from jax_npu.primitive.as_lax import product_of_lax
from jax_npu.primitive.tool_rules import register_for_imported_tools

Constant = tuple[bool, bool]  # lhs, rhs: the same in every iteration of a loop


def gemm(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    spec: Spec,
    out_dtype: DTypeLike,
    passes: int,
    backend: str,
    sharding: jax.NamedSharding | None = None,
) -> jax.Array:
    """The contraction `spec` of lhs and rhs with bf16 products and f32 accumulation.

    Args:
      lhs, rhs: float32 or bfloat16 arrays.
      spec: labels of the dimensions of lhs, rhs and the result; labels that the result
        lacks are contracted.
      out_dtype: float32 or bfloat16.
      passes: 1, 3, 6 or 9 bf16 products, see `precision.py`.
      backend: the custom-call target is `xdna_gemm_<backend>`.
      sharding: the result's, on a mesh with explicit axes.
    """
    if sharding is not None and sharding.spec.unreduced and sharding.mesh.auto_axes:
        raise NotImplementedError(
            "jax_npu needs a mesh without Auto axes for an unreduced out_sharding, got "
            f"{sharding.spec} on {sharding.mesh}; make the axes Explicit, or leave "
            "`unreduced` out."
        )
    register_for_imported_tools(gemm_p)
    result: jax.Array = gemm_p.bind(
        *vary_alike(lhs, rhs),
        spec=spec,
        out_dtype=jnp.dtype(out_dtype),
        passes=passes,
        backend=backend,
        sharding=sharding,
        constant=(is_loop_constant(lhs), is_loop_constant(rhs)),
        settings=current_settings(backend),
    )
    return result


def vary_alike(*operands: jax.Array) -> Iterator[jax.Array]:
    """Inside `shard_map`, makes all operands vary over the same mesh axes.

    The derivative sums over the axes over which an operand did not vary before.
    """
    varying = [jax.typeof(x).manual_axis_type.varying for x in operands]
    for operand, axes in zip(operands, varying):
        missing = tuple(frozenset.union(*varying) - axes)
        yield jax.lax.pcast(operand, missing, to="varying") if missing else operand


def _abstract_eval(
    lhs: ShapedArray,
    rhs: ShapedArray,
    *,
    spec: Spec,
    out_dtype: DTypeLike,
    sharding: jax.NamedSharding | None,
    **params: Any,
) -> ShapedArray:
    out: ShapedArray = lhs.update(
        shape=out_shape(spec, lhs.shape, rhs.shape),
        dtype=out_dtype,
        weak_type=lhs.weak_type and rhs.weak_type,
        sharding=sharding or _out_sharding(lhs.sharding, rhs.sharding, spec),
    )
    return out


def _out_sharding(
    lhs: jax.NamedSharding, rhs: jax.NamedSharding, spec: Spec
) -> jax.NamedSharding:
    """Each dimension of the result is sharded as in lhs, else as in rhs, as in lax."""
    if lhs.mesh.empty and rhs.mesh.empty:
        return lhs.update(spec=jax.P(*[None] * len(spec.out)))
    parts = dict(zip(spec.rhs, rhs.spec.partitions))
    parts |= dict(zip(spec.lhs, lhs.spec.partitions))
    mesh = rhs.mesh if lhs.mesh.empty else lhs.mesh
    return jax.NamedSharding(mesh, jax.P(*(parts[label] for label in spec.out)))


def _like(operand: Any) -> dict[str, Any]:
    """Parameters of a product that is the cotangent of `operand`."""
    aval, sharding = operand.aval, operand.aval.sharding
    mesh = jax.sharding.get_abstract_mesh()
    if sharding.mesh.empty:  # an operand from outside is whole on the context's mesh
        whole = jax.P(*[None] * aval.ndim)
        sharding = None if mesh.empty else jax.NamedSharding(mesh, whole)
    return {"out_dtype": aval.dtype, "sharding": sharding}


# One of the operands is the undefined primal, of which only `aval` is known.
def _transpose_lhs(
    ct: Any, lhs: Any, rhs: Any, *, spec: Spec, constant: Constant, **params: Any
) -> Any:
    transposed = Spec(spec.out, spec.rhs, spec.lhs)  # dA = dC Bᵀ
    params |= _like(lhs) | {"constant": (False, constant[1])}
    return gemm_p.bind(ct, rhs, spec=transposed, **params)


def _transpose_rhs(
    ct: Any, lhs: Any, rhs: Any, *, spec: Spec, constant: Constant, **params: Any
) -> Any:
    transposed = Spec(spec.lhs, spec.out, spec.rhs)  # dB = Aᵀ dC
    params |= _like(rhs) | {"constant": (constant[0], False)}
    return gemm_p.bind(lhs, ct, spec=transposed, **params)


def _batch(
    axis_data: Any,
    operands: tuple[Any, Any],
    dims: tuple[int | None, int | None],
    *,
    spec: Spec,
    sharding: jax.NamedSharding | None,
    **params: Any,
) -> tuple[Any, int | None]:
    """Adds a label: a batch label if both operands have it, else rows or columns."""
    if all(dim is None for dim in dims):
        return gemm_p.bind(*operands, spec=spec, sharding=sharding, **params), None
    label = unused_label(spec)
    lhs, rhs = (
        term if dim is None else term[:dim] + label + term[dim:]
        for term, dim in zip(spec, dims)
    )
    if sharding is not None:
        parts = (axis_data.explicit_mesh_axis, *sharding.spec.partitions)
        sharding = sharding.update(spec=sharding.spec.update(partitions=parts))
    out = gemm_p.bind(
        *operands, spec=Spec(lhs, rhs, label + spec.out), sharding=sharding, **params
    )
    return out, 0


def _lower(
    ctx: Any,
    lhs: Any,
    rhs: Any,
    *,
    out_dtype: Any,
    sharding: jax.NamedSharding | None,  # both part of the result's type already
    **params: Any,
) -> list[Any]:
    return [lower_contraction(ctx, lhs, rhs, **params)]


def _lower_by_lax(ctx: Any, lhs: Any, rhs: Any, **params: Any) -> list[Any]:
    product = functools.partial(product_of_lax, **params)
    (result,) = mlir.lower_fun(product, multiple_results=False)(ctx, lhs, rhs)
    return [lower_with_sharding_in_types(ctx, result, *ctx.avals_out)]


gemm_p = Primitive(GEMM)
gemm_p.def_impl(functools.partial(xla.apply_primitive, gemm_p))
gemm_p.def_abstract_eval(_abstract_eval)
ad.defbilinear(gemm_p, _transpose_lhs, _transpose_rhs)
batching.fancy_primitive_batchers[gemm_p] = _batch
# Not once for all that look alike: where a product runs depends on its name, too.
lower_each_equation(gemm_p, {"cpu": _lower}, _lower_by_lax)
