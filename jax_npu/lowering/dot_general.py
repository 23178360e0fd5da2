"""The lowering of `lax.dot_general` itself, so that programs need no change.

jaxprs stay stock: only here, where jax writes MLIR, a marked product becomes the custom
call. lax has one order for the result of a product, so jax puts a transposition after
each weight's gradient, and einsum puts some before and after. The custom call reads and
writes any order, so they are folded into it.
"""

import functools
from typing import Any

import jax
import numpy as np
from jax import lax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

from jax_npu.contraction import Spec, spec_from_dimension_numbers
from jax_npu.jax_private import metadata_being_lowered, name_stack, replace_lowering
from jax_npu.lowering.offload_choice import choice_for, passes_of
from jax_npu.lowering.rule import (
    copy_notes,
    is_symbolic_on_devices,
    lower_contraction,
    product_of,
)

_DTYPES = {"f32": np.dtype("float32"), "bf16": jax.numpy.dtype("bfloat16")}


@functools.cache
def install() -> None:
    """Has jax lower products of lax by the rules below, once a process.

    Products that nobody offloads, and those of other platforms, are lowered as before.
    """
    replace_lowering(lax.dot_general_p, _lower_dot_general)
    replace_lowering(lax.transpose_p, _lower_transpose)


def _lower_dot_general(
    stock: Any,
    ctx: Any,
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Any,
    precision: Any,
    **params: Any,
) -> Any:
    metadata = metadata_being_lowered(ctx)
    (lhs_aval, rhs_aval), (out_aval,) = ctx.avals_in, ctx.avals_out
    choice, _ = choice_for(metadata, lhs_aval, rhs_aval, out_aval, precision)
    if choice is None or is_symbolic_on_devices(ctx):
        params |= {"dimension_numbers": dimension_numbers, "precision": precision}
        return stock(ctx, lhs, rhs, **params)
    spec = spec_from_dimension_numbers(dimension_numbers, lhs_aval.ndim, rhs_aval.ndim)
    lhs, lhs_aval, lhs_labels = _without_transposition(lhs, lhs_aval, spec.lhs)
    rhs, rhs_aval, rhs_labels = _without_transposition(rhs, rhs_aval, spec.rhs)
    product = lower_contraction(
        ctx.replace(avals_in=(lhs_aval, rhs_aval)),
        lhs,
        rhs,
        spec=Spec(lhs_labels, rhs_labels, spec.out),
        passes=passes_of(choice, precision, name_stack(ctx)),
        backend=choice.backend,
        constant=(False, False),
        settings=choice.settings,
    )
    return [_reorderable(product)]


def _without_transposition(
    value: Any, aval: jax.core.ShapedArray, labels: str
) -> tuple[Any, jax.core.ShapedArray, str]:
    """What an operand is the transposition of, if it is of anything.

    Not so while it changes nothing: it may be one that has yet to be turned around.
    """
    transposition = _operation(value, "stablehlo.transpose")
    if transposition is None or aval.sharding.mesh.explicit_axes:
        return value, aval, labels
    permutation = list(transposition.attributes["permutation"])
    if permutation == sorted(permutation):
        return value, aval, labels
    dims = np.argsort(permutation)
    shape = tuple(aval.shape[d] for d in dims)
    labels = "".join(labels[d] for d in dims)
    return transposition.operands[0], aval.update(shape=shape), labels


def _reorderable(product: Any) -> Any:
    """A product's value for those that use it, as `_lower_transpose` finds it.

    Whoever uses a product keeps a transposition of it, which at first changes nothing
    and vanishes in XLA. It has to be turned around when the product is.
    """
    call = _operation(product, "stablehlo.custom_call")
    if call is None or product_of(call) is None:
        return product
    ndim = len(ir.RankedTensorType(product.type).shape)
    return stablehlo.transpose(product, ir.DenseI64ArrayAttr.get(range(ndim)))


def _lower_transpose(stock: Any, ctx: Any, x: Any, *, permutation: Any) -> Any:
    """A transposed product is computed in that order.

    The product stays one: what else uses it gets it transposed back.
    """
    kept = _operation(x, "stablehlo.transpose")
    call = kept and _operation(kept.operands[0], "stablehlo.custom_call")
    product = call and product_of(call)
    if not product or list(kept.attributes["permutation"]) != sorted(permutation):
        return stock(ctx, x, permutation=permutation)
    if not all(
        value.type.has_static_shape for value in (*call.operands, *call.results)
    ):
        return stock(ctx, x, permutation=permutation)  # sizes are symbols of an export
    lhs, rhs = list(call.operands)[:2]  # an NPU's has numbers of them, too
    spec = product["spec"]
    product["spec"] = Spec(
        spec.lhs, spec.rhs, "".join(spec.out[d] for d in permutation)
    )
    with ir.InsertionPoint(call):
        avals = (_aval(lhs), _aval(rhs))
        result = lower_contraction(ctx.replace(avals_in=avals), lhs, rhs, **product)
    copy_notes(kept, result)
    kept.operands[0] = result
    kept.attributes["permutation"] = ir.DenseI64ArrayAttr.get(
        [int(d) for d in np.argsort(permutation)]
    )
    if not any(True for _ in call.results[0].uses):
        call.erase()
    return [result]


def _operation(value: Any, name: str) -> Any:
    """The operation that computes a value, if it is of that name."""
    owner = getattr(value, "owner", None)
    if owner is None or isinstance(owner, ir.Block):
        return None
    operation = owner.operation
    return operation if operation.name == name else None


def _aval(value: Any) -> jax.core.ShapedArray:
    tensor = ir.RankedTensorType(value.type)
    return jax.core.ShapedArray(tuple(tensor.shape), _DTYPES[str(tensor.element_type)])
