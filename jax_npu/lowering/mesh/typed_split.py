"""A contraction whose result's type says over which axes sums stay partial.

Such a type stands on a mesh of explicit axes, so the types of operands and result say
how they are split, and the product of each device can be written out.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.typing import DTypeLike

from jax_npu.contraction import Spec

LocalCall = Callable[..., jax.Array]  # (lhs, rhs, out_dtype=...), on one device


def split_by_types(
    local_call: LocalCall, spec: Spec, lhs: ShapedArray, out: ShapedArray
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`local_call` on operands that are split as their types say, over explicit axes.

    Sums stay partial over the axes over which `out` is unreduced.
    """
    mesh, out_spec = out.sharding.mesh, out.sharding.spec
    parts = _partitions(spec, lhs.sharding.spec.partitions, out_spec.partitions)
    operand_specs = tuple(
        jax.P(*(parts.get(label) for label in term)) for term in (spec.lhs, spec.rhs)
    )
    split = [a for c in spec.lhs if c not in spec.out for a in _axes(parts.get(c))]
    summed = tuple(axis for axis in split if axis not in out_spec.unreduced)
    local: LocalCall = jax.shard_map(
        lambda lhs, rhs: _sum_over(summed, local_call, lhs, rhs, out.dtype),
        in_specs=operand_specs,
        out_specs=out_spec,
        axis_names=frozenset(mesh.explicit_axes),
        check_vma=False,
    )
    return lambda *operands: local(*map(jax.sharding.reshard, operands, operand_specs))


def _partitions(
    spec: Spec, lhs: tuple[Any, ...], out: tuple[Any, ...]
) -> dict[str, Any]:
    """The split of each label: as in the result, and for a contracted one as in lhs.

    A contracted label stays whole where the result is split over the same mesh axis.
    """
    parts = dict(zip(spec.out, out))
    taken = {axis for part in out for axis in _axes(part)}
    contracted = {c: part for c, part in zip(spec.lhs, lhs) if c not in spec.out}
    return parts | {c: p for c, p in contracted.items() if taken.isdisjoint(_axes(p))}


def _axes(part: Any) -> tuple[str, ...]:
    if part is None:
        return ()
    return (part,) if isinstance(part, str) else tuple(part)


def _sum_over(
    mesh_axes: tuple[str, ...],
    local_call: LocalCall,
    lhs: jax.Array,
    rhs: jax.Array,
    out_dtype: DTypeLike,
) -> jax.Array:
    if not mesh_axes:
        return local_call(lhs, rhs, out_dtype=out_dtype)
    partial_sum = local_call(lhs, rhs, out_dtype=jnp.float32)
    total: jax.Array = jax.lax.psum(partial_sum, mesh_axes)
    return total.astype(out_dtype)
