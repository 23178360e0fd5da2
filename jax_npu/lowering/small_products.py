"""Products of backend `host` that are left to XLA, because a call costs more than they.

They are rounded to bf16 all the same, so that the result does not depend on the size.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jax_npu.contraction import (
    Spec,
    contraction_axes,
    label_sizes,
    out_shape,
)
from jax_npu.lowering.offload_choice import Choice
from jax_npu.lowering.ordered_dot import ordered_dot

# Multiply-adds up to which XLA took 0.7 to 0.95 times the time of a call, both
# as a program and in a chain: measured on two cores of an AMD EPYC (Zen 4). From twice
# as many on, most took longer.
MAX_MULTIPLY_ADDS = 48
MAX_OF_VECTOR = 128  # with one row or one column
# With k = 1 XLA multiplies element by element, and rounds in the same loop. A program
# of one product between these sizes started later with XLA's.
MAX_OF_OUTER = 256
MIN_OF_OUTER = 1 << 15


def xla_is_faster(batch: int, m: int, k: int, n: int) -> bool:
    """Whether a product takes less time as stock dot than as a call."""
    size = batch * m * k * n
    if k == 1:
        return size <= MAX_OF_OUTER or size >= MIN_OF_OUTER
    if min(m, n) == 1:
        return size <= MAX_OF_VECTOR
    return size <= MAX_MULTIPLY_ADDS


def is_left_to_xla(lhs: jax.Array, rhs: jax.Array, spec: Spec) -> bool:
    """Whether XLA computes a product of known sizes faster than a call.

    On a mesh, stock operations would ask for the sharding of the result.
    """
    if any(map(jax.export.is_symbolic_dim, (*lhs.shape, *rhs.shape))):
        return False
    if not xla_is_faster(*contraction_axes(spec, lhs.shape, rhs.shape).sizes):
        return False
    return all(jax.typeof(x).sharding.mesh.empty for x in (lhs, rhs))


def stock_product(
    lhs: jax.Array, rhs: jax.Array, *, spec: Spec, out_dtype: DTypeLike, passes: int
) -> jax.Array:
    """The contraction as a stock dot of operands rounded to bf16, accumulated in f32.

    Several passes multiply f32 operands as they are, which is at least as accurate.
    """
    lhs, rhs = (_as_f32(x, rounded=passes == 1) for x in (lhs, rhs))
    sizes = label_sizes(spec, lhs.shape, rhs.shape)
    if all(sizes[c] == 1 for c in spec.lhs if c not in spec.out):
        return _outer_product(lhs, rhs, spec).astype(out_dtype)
    with Choice.now("xla").mark():  # not to be offloaded again
        product = ordered_dot(
            lhs,
            rhs,
            spec,
            precision=lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )
    return product.astype(out_dtype)


def _as_f32(x: jax.Array, rounded: bool) -> jax.Array:
    if x.dtype == jnp.bfloat16:
        return x.astype(jnp.float32)
    # Unlike a pair of casts, XLA does not take this for excess precision.
    bf16 = lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
    # Several passes have what bf16 rounds to infinity in their first part.
    return bf16 if rounded else jnp.where(jnp.isinf(bf16), bf16, x)


def _outer_product(lhs: jax.Array, rhs: jax.Array, spec: Spec) -> jax.Array:
    """Element by element: XLA rounds a dot's operands in loops of their own."""
    shape = out_shape(spec, lhs.shape, rhs.shape)

    def broadcast(x: jax.Array, labels: str) -> jax.Array:
        kept = [c for c in labels if c in spec.out]
        x = lax.squeeze(x, [d for d, c in enumerate(labels) if c not in kept])
        order = sorted(range(len(kept)), key=lambda d: spec.out.index(kept[d]))
        x = lax.transpose(x, order)
        return lax.broadcast_in_dim(x, shape, [spec.out.index(kept[d]) for d in order])

    return broadcast(lhs, spec.lhs) * broadcast(rhs, spec.rhs)
