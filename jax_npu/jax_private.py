"""Every private name of jax that the package uses, with what would replace it.

All are there in jax 0.10.2 and 0.12. Names are imported one by one, and what jax keeps
in attributes is read by functions that are `guarded`: if an update of jax moves one,
the error says which versions are supported, and this is the file to change.
"""

import functools
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np
from jax.interpreters import mlir


def supported(package: str) -> str:
    """What jax-npu requires of jax or jaxlib, as pip takes it: "jax<0.13,>=0.10.2"."""
    required = importlib.metadata.requires("jax-npu") or []
    return next(one for one in required if one.rstrip("<>=.,0123456789") == package)


@contextmanager
def guarded() -> Iterator[None]:
    """Context manager and decorator: a private name that has moved is an ImportError.

    Raises:
      ImportError: with jax's version, those that are supported, and the way out.
    """
    try:
        yield
    except (AttributeError, ImportError) as error:
        if isinstance(error, _MovedError):
            raise
        raise _MovedError(
            f"jax-npu needs {supported('jax')}, got jax {jax.__version__}, which lacks "
            f"a private name ({error}); pip install '{supported('jax')}'"
        ) from error


class _MovedError(ImportError):
    """A name of jax that is not where it was."""


with guarded():
    from jax._src.config import xla_metadata_context_manager
    from jax._src.core import extend_axis_env_nd, trace_ctx
    from jax._src.hashable_array import HashableArray
    from jax._src.interpreters import mlir as mlir_of_jax
    from jax._src.interpreters.mlir import (
        _lowerings,
        _platform_specific_lowerings,
        build_mlir_module_helper,
        lower_per_platform,
        module_to_bytecode,
    )
    from jax._src.interpreters.partial_eval import DynamicJaxprTrace
    from jax._src.lax.lax import dot_general
    from jax._src.sharding_impls import ShardingContext, SPMDAxisContext
    from jax._src.util import cache
    from jaxlib.xla_client import (
        HloSharding,
        OpSharding,
        register_custom_call_partitioner,
    )

if TYPE_CHECKING:  # takes ten milliseconds to import
    from jax.extend.core import Primitive

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["HloSharding"]  # XLA's own sharding, which knows devices and no mesh


@guarded()
def hlo_tiling(
    tiles: Sequence[int],
    copies: int,
    axis_sizes: Sequence[int],
    axis_order: Sequence[int],
) -> Any:
    """XLA's sharding of an array over axes of devices.

    Args:
      tiles: the parts of each dimension.
      copies: the devices that hold the same part.
      axis_sizes: sizes of the axes, the outermost first.
      axis_order: the axes as dimensions use them, then those of the copies.
    """
    last = (copies,) if copies > 1 else ()
    kinds = (OpSharding.Type.REPLICATED,) if copies > 1 else ()
    return HloSharding.iota_tile((*tiles, *last), axis_sizes, axis_order, kinds)


def register_partitioner(
    target: str,
    partition: Callable[..., tuple[bytes, list[Any], Any]],
    infer: Callable[..., Any],
) -> None:
    """Has XLA's partitioner ask `partition` about each custom call of that target.

    `custom_partitioning` would replace it, if it put no pointer into the program: a
    program with one cannot be exported, nor found in a persistent cache.
    """
    register_custom_call_partitioner(
        target, lambda sharding, *_: sharding, partition, infer
    )


def program_on_mesh(
    function: Callable[..., jax.Array], avals: Sequence[Any], mesh: Mapping[str, int]
) -> bytes:
    """What one device runs of `function`, as serialized MLIR.

    Args:
      avals: its arguments on that device.
      mesh: names and sizes of the axes over which it may sum, the outermost first.
    """
    abstract: Any = jax.sharding.AbstractMesh(tuple(mesh.values()), tuple(mesh))
    context = SPMDAxisContext(abstract, frozenset(mesh))
    # XLA asks while a caller's mesh is set, whose axes are not those of the program.
    no_mesh = jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ()))
    with no_mesh, extend_axis_env_nd(mesh.items()):
        jaxpr = jax.make_jaxpr(function)(*avals)
        module = build_mlir_module_helper(
            jaxpr,
            name="xdna_gemm",
            platforms=("cpu",),
            backend=None,
            axis_context=context,
        )
    program: bytes = module_to_bytecode(module)
    return program


@guarded()
def mesh_axes(lowering_context: Any) -> list[tuple[int, bool]]:
    """Size of each axis of devices, and whether a `shard_map` has split it already.

    Where a rule may not know the mesh, it is one axis of all devices.
    """
    context = lowering_context.module_context.axis_context
    if isinstance(context, ShardingContext):
        return [(context.num_devices, False)]
    if isinstance(context, SPMDAxisContext):
        axes = context.mesh.shape.items()
        return [(size, name in context.manual_axes) for name, size in axes]
    return []


def hashable(array: np.ndarray) -> Any:
    """An array for a mapping among the attributes of `jax.ffi.ffi_call`.

    jax hashes the arrays among attributes, but not those inside a mapping. If it did,
    the array itself would replace this.
    """
    return HashableArray(array)


@guarded()
def current_trace() -> Any:
    """The innermost of the traces that are under way.

    A public way to ask whether a loop's body is being traced would replace this and
    the functions below.
    """
    return trace_ctx.trace


def outer_trace(trace: Any) -> Any:
    """The trace in which `trace` was begun, or None."""
    return getattr(trace, "parent_trace", None)


@guarded()
def trace_of(operand: Any) -> Any:
    """The trace that made an operand; None for a concrete array."""
    return getattr(operand, "_trace", None)


def is_staging(trace: Any) -> bool:
    """Whether a trace writes a jaxpr, or runs what it traces.

    The others, for derivatives and vmap, wrap the values of the trace around them.
    """
    return isinstance(trace, DynamicJaxprTrace) or not hasattr(trace, "parent_trace")


def value_in_outer_trace(tracer: Any) -> Any:
    """The value that a tracer of a derivative or of vmap wraps, or None."""
    return tracer.primal if hasattr(tracer, "primal") else getattr(tracer, "val", None)


@guarded()
def traced_for(trace: Any) -> str | None:
    """The transformation for which a trace writes a jaxpr, such as "scan body"."""
    if not isinstance(trace, DynamicJaxprTrace):
        return None
    debug_info = trace.frame.debug_info
    return None if debug_info is None else debug_info.traced_for


@guarded()
def current_metadata() -> dict[str, Any] | None:
    """The XLA metadata of what is traced now.

    `jax.experimental.xla_metadata` sets it and has no way to ask for it.
    """
    metadata = xla_metadata_context_manager.value
    return None if metadata is None else metadata.val


@guarded()
def metadata_of(eqn: Any) -> dict[str, Any] | None:
    """The XLA metadata under which an equation was traced."""
    metadata: dict[str, Any] | None = eqn.ctx.xla_metadata
    return metadata


@guarded()
def name_scopes(eqn: Any, outer: str = "") -> str:
    """The name scopes of an equation, within the function that jax traced.

    `outer` are those of the equation that it is a part of.
    """
    return "/".join(filter(None, (outer, str(eqn.source_info.name_stack))))


@guarded()
def metadata_being_lowered(lowering_context: Any) -> dict[str, Any] | None:
    """The XLA metadata under which the equation of a lowering rule was traced."""
    context = lowering_context.jaxpr_eqn_ctx
    return None if context is None else context.xla_metadata


@guarded()
def replace_lowering(primitive: "Primitive", rule: Callable[..., Any]) -> None:
    """Has jax lower a primitive for the CPU by `rule(stock, context, ...)`.

    `stock` is the rule that jax has now, by which all other platforms are lowered. A
    public way to wrap a rule of jax's own would replace it.
    """
    default = _lowerings[primitive].rule
    rules = {
        platform: entries.pop(primitive).rule
        for platform, entries in _platform_specific_lowerings.items()
        if primitive in entries
    }
    on_cpu = functools.partial(rule, rules.get("cpu", default))
    lower_each_equation(primitive, rules | {"cpu": on_cpu}, default)


@guarded()
def lower_each_equation(
    primitive: "Primitive",
    rules: Mapping[str, Callable[..., Any]],
    default: Callable[..., Any],
) -> None:
    """Has jax lower a primitive by its platform's rule, or else by the default one.

    Jax asks for each equation, not once for all that look alike, so a rule sees where
    its operands come from, and its name. With several platforms jax's own choice among
    rules that are asked so fails (0.10), so it is made here.
    """

    def lower(context: Any, *operands: Any, **params: Any) -> Any:
        platforms = context.platforms or context.module_context.platforms
        if len(platforms) == 1:
            rule = rules.get(platforms[0], default)
            return rule(context, *operands, **params)
        return lower_per_platform(
            context.replace(avals_out=list(context.avals_out)),
            primitive.name,
            dict(rules),
            default,
            set(),  # of effects
            *operands,
            **params,
        )

    mlir.register_lowering(primitive, lower, cacheable=False)


@functools.cache
@guarded()
def while_lowering(manager: Callable[[Any], AbstractContextManager[None]]) -> None:
    """Has jax lower each program, a jaxpr, inside `manager(jaxpr)`.

    A lowering rule sees its own equation only. A public way to ask for the program
    around it would replace this.
    """
    stock: Any = mlir_of_jax.lower_jaxpr_to_module

    @functools.wraps(stock)
    def lower(name: str, jaxpr: Any, *args: Any, **kwargs: Any) -> Any:
        with manager(jaxpr.jaxpr):
            return stock(name, jaxpr, *args, **kwargs)

    mlir_of_jax.lower_jaxpr_to_module = lower  # type: ignore[assignment]


@guarded()
def name_stack(lowering_context: Any) -> str:
    """The name scopes of an equation, as `jax.named_scope` and modules set them."""
    return str(lowering_context.name_stack)


# `jax.lax.dot_general` itself, whatever a library puts in its place while it runs.
dot_general_of_lax: Callable[..., jax.Array] = dot_general


def cached_per_context(function: Function) -> Function:
    """`functools.cache`, with jax's configuration and meshes as a part of the key.

    A public name of that key would replace it.
    """
    cached: Function = cache(max_size=4096)(function)
    return cached


def nothing_is_traced() -> bool:
    """Whether jax runs operations at once."""
    return bool(trace_ctx.is_top_level())


@functools.cache
def allow_in_exports(targets: tuple[str, ...]) -> None:
    """Has `jax.export` take custom calls like those of jax that stay what they are.

    A public way to register a target's stability would replace it.
    """
    with guarded():
        from jax._src.export._export import _CUSTOM_CALL_TARGETS_GUARANTEED_STABLE

    _CUSTOM_CALL_TARGETS_GUARANTEED_STABLE.update(targets)


def check_for_nan(primitive: "Primitive") -> None:
    """Has `checkify` see a NaN in the results of a primitive.

    A public way to register an error check would replace it.
    """
    with guarded():
        from jax._src.checkify import error_checks, nan_error_check

    error_checks[primitive] = functools.partial(nan_error_check, primitive)
