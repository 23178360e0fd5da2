"""The lowering of a contraction: on one device, on several, inside a `shard_map`."""

import functools
import json
import math
from collections.abc import Callable
from typing import Any, Unpack

import jax
from jax.extend.mlir import lower_with_sharding_in_types
from jax.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import sdy, stablehlo

from jax_npu.contraction import Spec, label_sizes
from jax_npu.jax_private import allow_in_exports, mesh_axes, name_stack
from jax_npu.lowering import cost_analysis
from jax_npu.lowering.call import GemmParams, gemm_call, gemm_target, params_of
from jax_npu.lowering.mesh import partitioner
from jax_npu.lowering.mesh.typed_split import split_by_types
from jax_npu.lowering.placement.side import placed
from jax_npu.lowering.small_products import stock_product
from jax_npu.runtime import extension


def lower_contraction(
    ctx: Any, lhs: Any, rhs: Any, **params: Unpack[GemmParams]
) -> Any:
    """The MLIR value of a contraction, of the type `ctx.avals_out[0]`.

    Args:
      ctx: the rule's context.
      lhs, rhs: MLIR values of the types `ctx.avals_in`.
      params: as `gemm_call` takes them.
    """
    cost_analysis.install()
    allow_in_exports(extension.TARGETS)
    (out,) = ctx.avals_out
    lhs_aval, rhs_aval = ctx.avals_in
    params = placed(params, lhs_aval, rhs_aval, out, name_stack(ctx))
    is_of_scalars = all(aval.ndim == 0 for aval in ctx.avals_in)
    if is_of_scalars or is_symbolic_on_devices(ctx):
        return _stock_product(ctx, lhs, rhs, params)
    mesh = mesh_axes(ctx)
    is_whole = math.prod(size for size, is_split in mesh if not is_split) == 1
    if out.sharding.spec.unreduced or is_whole:
        result = _local_call(ctx, lhs, rhs, params)
    else:
        config = partitioner.SplitCall(params, out.dtype.name, mesh)
        result = _call_on_devices(ctx, lhs, rhs, config)
    _note(result, params)
    # XLA's partitioner follows this constraint, not the type.
    return lower_with_sharding_in_types(ctx, result, out)


def is_symbolic_on_devices(ctx: Any) -> bool:
    """Whether sizes are symbols of an export, in a program of several devices.

    When such a program is called, jax puts numbers in the place of symbols. It knows
    the results of its own products, and not those of calls that are split.
    """
    shapes = [aval.shape for aval in (*ctx.avals_in, *ctx.avals_out)]
    if not any(jax.export.is_symbolic_dim(size) for shape in shapes for size in shape):
        return False
    return math.prod(size for size, _ in mesh_axes(ctx)) > 1


def _stock_product(ctx: Any, lhs: Any, rhs: Any, params: GemmParams) -> Any:
    """The product by operations of jax's own.

    Scalars meet in the reducers of `lax.reduce`, where XLA takes no custom call.
    """
    product = functools.partial(
        stock_product,
        spec=params["spec"],
        out_dtype=ctx.avals_out[0].dtype,
        passes=params["passes"],
    )
    (result,) = mlir.lower_fun(product, multiple_results=False)(ctx, lhs, rhs)
    return result


def _local_call(ctx: Any, lhs: Any, rhs: Any, params: GemmParams) -> Any:
    """The product where each device's is written out: it has its own operands."""
    (out,) = ctx.avals_out
    call: Callable[..., jax.Array] = functools.partial(gemm_call, **params)
    if out.sharding.spec.unreduced:
        call = split_by_types(call, params["spec"], ctx.avals_in[0], out)
    else:
        call = functools.partial(call, out_dtype=out.dtype)
    (result,) = mlir.lower_fun(call, multiple_results=False)(ctx, lhs, rhs)
    return result


_NOTE, _KEY = "mhlo.frontend_attributes", "jax_npu_product"


def _note(result: Any, params: GemmParams) -> None:
    """Writes what a custom call computes beside it."""
    _add_notes(result, {_KEY: ir.StringAttr.get(json.dumps(params))})


def copy_notes(source: Any, result: Any) -> None:
    """Gives a custom call the XLA metadata of another operation as well."""
    if _NOTE in source.attributes:
        _add_notes(result, _notes(source))


def _add_notes(result: Any, notes: dict[str, ir.Attribute]) -> None:
    owner = result.owner
    if isinstance(owner, ir.Block) or owner.name != "stablehlo.custom_call":
        return
    if _NOTE in owner.attributes:
        notes = _notes(owner) | notes
    owner.attributes[_NOTE] = ir.DictAttr.get(notes)


def _notes(operation: Any) -> dict[str, ir.Attribute]:
    notes = ir.DictAttr(operation.attributes[_NOTE])
    return {notes[i].name: notes[i].attr for i in range(len(notes))}


def product_of(call: Any) -> GemmParams | None:
    """The parameters with which a custom call was made; None for others' calls."""
    if _NOTE not in call.attributes:
        return None
    notes = ir.DictAttr(call.attributes[_NOTE])
    if _KEY not in notes:
        return None
    return params_of(json.loads(ir.StringAttr(notes[_KEY]).value))


def _call_on_devices(
    ctx: Any, lhs: Any, rhs: Any, config: partitioner.SplitCall
) -> Any:
    (out,) = ctx.avals_out
    call = stablehlo.CustomCallOp(
        [mlir.aval_to_ir_type(ctx.module_context, out)],
        [lhs, rhs],
        call_target_name=gemm_target(config.params["backend"]),
        api_version=ir.IntegerAttr.get(ir.IntegerType.get_signless(32), 2),
        backend_config=ir.StringAttr.get(config.to_config()),
    )
    spec = config.params["spec"]
    sizes = label_sizes(spec, *(aval.shape for aval in ctx.avals_in))
    call.attributes["sdy.sharding_rule"] = _sharding_rule(spec, sizes)
    return call.result


def _sharding_rule(spec: Spec, sizes: dict[str, int]) -> ir.Attribute:
    """What Shardy propagates: every label may be split, contracted ones are summed."""
    factors = {label: i for i, label in enumerate(sizes)}
    lhs, rhs, out = (
        sdy.TensorMappingAttr.get([sdy.DimMappingAttr.get([factors[c]]) for c in term])
        for term in spec
    )
    return sdy.OpShardingRuleAttr.get(
        list(sizes.values()),
        [lhs, rhs],
        [out],
        reduction_factors=[factors[c] for c in spec.lhs if c not in spec.out],
        is_custom=True,
    )
