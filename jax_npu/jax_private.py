"""Every private name of jax that the package uses, with what would replace it.

All are there in jax 0.10.2, the oldest version that the package supports. When an
update of jax moves one, this is the file to change.
"""

from typing import Any

import numpy as np
from jax._src.core import trace_ctx
from jax._src.dispatch import prim_requires_devices_during_lowering
from jax._src.hashable_array import HashableArray
from jax._src.sharding_impls import parse_flatten_op_sharding
from jax.extend.core import Primitive


def need_devices_during_lowering(primitive: Primitive) -> None:
    """Has jax look up the devices of operands before it lowers `primitive`.

    `custom_partitioning` asks for them. Without this, sharded operands fail inside jax
    with "Please file a bug". A public argument of `mlir.register_lowering` would
    replace it; jax 0.10 has none.
    """
    prim_requires_devices_during_lowering.add(primitive)


def partitions_of_hlo_sharding(sharding: Any, mesh: Any) -> tuple[Any, ...]:
    """The mesh axes of each dimension, for a sharding in XLA's own form.

    Inside a `shard_map` over some axes, jax hands such a one to the partitioning rule.
    `NamedSharding` there, as everywhere else, would replace it.
    """
    (spec, *_) = parse_flatten_op_sharding(sharding._hlo_sharding, mesh)
    partitions: tuple[Any, ...] = spec.partitions
    return partitions


def hashable(array: np.ndarray) -> Any:
    """An array for a mapping among the attributes of `jax.ffi.ffi_call`.

    jax hashes the arrays among attributes, but not those inside a mapping. If it did,
    the array itself would replace this.
    """
    return HashableArray(array)


def current_trace() -> Any:
    """The innermost of the traces that are under way.

    A public way to ask whether a loop's body is being traced would replace this and
    the functions below.
    """
    return trace_ctx.trace


def outer_trace(trace: Any) -> Any:
    """The trace in which `trace` was begun, or None."""
    return getattr(trace, "parent_trace", None)


def trace_of(operand: Any) -> Any:
    """The trace that made an operand; None for a concrete array."""
    return getattr(operand, "_trace", None)


def is_staging(trace: Any) -> bool:
    """Whether a trace writes a jaxpr, or runs what it traces.

    The others, for derivatives and vmap, wrap the values of the trace around them.
    """
    return hasattr(trace, "frame") or not hasattr(trace, "parent_trace")


def value_in_outer_trace(tracer: Any) -> Any:
    """The value that a tracer of a derivative or of vmap wraps, or None."""
    return tracer.primal if hasattr(tracer, "primal") else getattr(tracer, "val", None)


def traced_for(trace: Any) -> str | None:
    """The transformation for which a trace writes a jaxpr, such as "scan body"."""
    debug_info = getattr(getattr(trace, "frame", None), "debug_info", None)
    return getattr(debug_info, "traced_for", None)


def manual_mesh(lowering_context: Any) -> tuple[Any, ...]:
    """Mesh and manual axes inside a `shard_map` over some axes of a mesh, else ().

    `jax.sharding.get_abstract_mesh()` would replace it, if a lowering rule could ask.
    """
    axis_context = lowering_context.module_context.axis_context
    axes: frozenset[str] = getattr(axis_context, "manual_axes", frozenset())
    return (axis_context.mesh, axes) if axes else ()
