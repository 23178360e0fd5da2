"""A contraction that XLA's partitioner may split along every label of its `Spec`.

A split of a contracted label becomes one all-reduce of the results. If the devices do
not divide a size, XLA pads, with values that the earlier operations computed from their
own padding; so each device replaces all values past the end with zeros before it sums.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.experimental.custom_partitioning import custom_partitioning
from jax.typing import DTypeLike

from jax_npu.contraction import Spec, label_sizes
from jax_npu.jax_private import partitions_of_hlo_sharding

LocalCall = Callable[..., jax.Array]  # (lhs, rhs, out_dtype=...), on one device


def partitioned(
    local_call: LocalCall,
    spec: Spec,
    out_dtype: DTypeLike,
    mesh: jax.sharding.Mesh | None = None,
    manual_axes: frozenset[str] = frozenset(),
) -> custom_partitioning:
    """`local_call`, which computes `spec` on one device, on operands of any sharding.

    Inside a `shard_map` over some axes of `mesh`, XLA splits over the others.
    """

    @custom_partitioning
    def call(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return local_call(lhs, rhs, out_dtype=out_dtype)

    def partition(whole_mesh: Any, operands: Any, result: Any) -> tuple[Any, ...]:
        _require_key_of_its_own()
        # Inside a `shard_map` over some axes jax passes an empty mesh.
        whole_mesh = mesh or whole_mesh
        free = _without_axes(whole_mesh, manual_axes)
        split = _split(spec, free, operands, result)

        def local(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
            for label, size, axes in split.padded:
                # Both operands: NaN or infinity in the padding times 0 is NaN.
                lhs = _cut(lhs, spec.lhs.index(label), size, axes)
                rhs = _cut(rhs, spec.rhs.index(label), size, axes)
            return _sum_over(split.summed, local_call, lhs, rhs, out_dtype)

        return whole_mesh, local, split.out, (split.lhs, split.rhs)

    call.def_partition(
        partition,
        sharding_rule="{}, {} -> {}".format(*map(" ".join, spec)),
        reduction_factors=tuple(c for c in spec.lhs if c not in spec.out),
        decode_shardings=not manual_axes,
    )
    return call


class _Split(NamedTuple):
    """How a contraction is split over the axes of a mesh."""

    lhs: jax.NamedSharding
    rhs: jax.NamedSharding
    out: jax.NamedSharding
    summed: tuple[str, ...]  # axes over which partial results are summed
    # Contracted labels that XLA pads, since their axes do not divide their size:
    # (label, size, axes).
    padded: tuple[tuple[str, int, tuple[str, ...]], ...]


def _split(spec: Spec, mesh: Any, operands: Any, result: Any) -> _Split:
    lhs_spec, out_spec = (_spec(x.sharding, mesh) for x in (operands[0], result))
    parts = _partitions(spec, lhs_spec, out_spec)
    lhs, rhs, out = (
        jax.NamedSharding(mesh, jax.P(*(parts.get(label) for label in term)))
        for term in spec
    )
    sizes = label_sizes(spec, *(operand.shape for operand in operands))
    contracted = {c: _axes(parts.get(c)) for c in spec.lhs if c not in spec.out}
    padded = tuple(
        (label, sizes[label], axes)
        for label, axes in contracted.items()
        if sizes[label] % math.prod(mesh.shape[axis] for axis in axes)
    )
    return _Split(lhs, rhs, out, sum(contracted.values(), ()), padded)


def _require_key_of_its_own() -> None:
    """Refuses a persistent cache whose keys do not tell two products apart.

    Raises:
      NotImplementedError: if the cache could take another product's program for this
        one, because the module that it hashes names neither.
    """
    removed = "jax_remove_custom_partitioning_ptr_from_cache_key"
    if all(getattr(jax.config, n) for n in (removed, "jax_compilation_cache_dir")):
        raise NotImplementedError(
            "on several devices jax_npu needs the pointer of custom_partitioning in "
            "the key of the persistent cache, where a product of another precision or "
            f"backend would be taken for this one; unset {removed}."
        )


def _without_axes(mesh: Any, axes: frozenset[str]) -> Any:
    """The mesh that XLA's partitioner sees inside a `shard_map` over `axes`."""
    if not axes:
        return mesh
    free = {name: size for name, size in mesh.shape.items() if name not in axes}
    return jax.sharding.AbstractMesh(tuple(free.values()), tuple(free))


def _spec(sharding: Any, mesh: Any) -> tuple[Any, ...]:
    if isinstance(sharding, jax.NamedSharding):
        return tuple(sharding.spec.partitions)
    # Inside a `shard_map` over some axes jax gives XLA's own sharding.
    return partitions_of_hlo_sharding(sharding, mesh)


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


def _cut(operand: jax.Array, dim: int, size: int, axes: tuple[str, ...]) -> jax.Array:
    """This device's part of an operand, with zeros past the global `size` of `dim`."""
    local_size = operand.shape[dim]  # ceil(size / number of devices along axes)
    first = jax.lax.axis_index(axes) * local_size
    index = first + jax.lax.broadcasted_iota(jnp.int32, operand.shape, dim)
    return jnp.where(index < size, operand, jnp.zeros((), operand.dtype))


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
