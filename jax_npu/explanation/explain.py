"""The products that a function runs: how often, where, and which stay with lax."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params
from jax.interpreters.partial_eval import dce_jaxpr

from jax_npu.contraction import contraction_axes, spec_from_dimension_numbers
from jax_npu.explanation.products import Explanation, Product, Row
from jax_npu.jax_private import metadata_of, name_scopes
from jax_npu.lowering.offload_choice import choice_for
from jax_npu.lowering.placement.program import described
from jax_npu.lowering.placement.side import Program
from jax_npu.lowering.small_products import xla_is_faster
from jax_npu.primitive.gemm import gemm_p
from jax_npu.runtime.environment import SMALL_PRODUCTS


def explain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """The products that one call of `function` runs, read off its trace.

    They are all of the program's, convolutions among them. Nothing is executed. A
    product whose result no output needs does not count. One in a `scan` counts once an
    iteration, one in a `while_loop` once, and one in a branch of `cond` as if it were
    taken.

    Products of backends with an NPU have a prediction for each side of the machine, and
    are placed as they will be when jax lowers `function` as it is given here.

    Args:
      function: any traceable function, jitted or not.
      args, kwargs: arrays or `jax.ShapeDtypeStruct`s.
    """
    traced = jax.jit(function).trace(*args, **kwargs).jaxpr.jaxpr
    jaxpr, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
    program = Program(jaxpr)
    calls: Counter[Product] = Counter()
    for gemm, times in _gemms(program, jaxpr, 1, ""):
        calls[gemm] += times
    total = sum(gemm.flops * times for gemm, times in calls.items())
    rows = (
        Row(**vars(gemm), calls=times, share=gemm.flops * times / max(total, 1))
        for gemm, times in calls.items()
    )
    ordered = tuple(sorted(rows, key=lambda row: -row.share))
    return Explanation(ordered, program.seconds())


def _gemms(
    program: Program, jaxpr: Jaxpr, times: int, names: str
) -> Iterator[tuple[Product, int]]:
    for eqn in jaxpr.eqns:
        scopes = name_scopes(eqn, names)
        if product := _product(eqn):
            yield _placed(program, eqn, product, scopes), times
        inner_times = times * eqn.params.get("length", 1)  # of a scan
        for inner in jaxprs_in_params(eqn.params):
            yield from _gemms(program, inner, inner_times, scopes)


def _placed(program: Program, eqn: JaxprEqn, product: Product, names: str) -> Product:
    """The product where it is placed, if a backend with an NPU computes it."""
    found = described(eqn, names)
    if found is None:
        return product
    one, backend, settings = found
    predicted = program.predicted(one, (backend, settings))
    if predicted is None:  # the backend has no NPU
        return product
    side = program.side(one, names, (backend, settings))
    where, reason = product.backend, product.reason
    if side == "host":
        sizes = product.batch, product.m, product.k, product.n
        where, reason = _unless_small(sizes, "host", "")
    return replace(product, backend=where, reason=reason, predicted=predicted)


def _product(eqn: JaxprEqn) -> Product | None:
    """The product that an equation is, if it is one."""
    if eqn.primitive is gemm_p:
        shapes = [_aval(v).shape for v in eqn.invars]
        sizes = contraction_axes(eqn.params["spec"], *shapes).sizes
        where = _unless_small(sizes, eqn.params["backend"], "")
        if not any(shapes):
            where = "xla", "scalars"
        return Product(*sizes, *_dtypes(eqn), *where)
    if eqn.primitive is lax.dot_general_p:
        lhs, rhs = map(_aval, eqn.invars)
        numbers = eqn.params["dimension_numbers"]
        spec = spec_from_dimension_numbers(numbers, lhs.ndim, rhs.ndim)
        sizes = contraction_axes(spec, lhs.shape, rhs.shape).sizes
        where = _unless_small(sizes, *_backend_and_reason(eqn))
        return Product(*sizes, *_dtypes(eqn), *where)
    if eqn.primitive is lax.conv_general_dilated_p:
        return _convolution(eqn)
    if eqn.primitive.name == "ragged_dot_general":
        return _ragged_product(eqn)
    return None


def _backend_and_reason(eqn: JaxprEqn) -> tuple[str, str]:
    """Where a product of lax runs and, if that is lax, why."""
    lhs, rhs, out = map(_aval, (*eqn.invars[:2], *eqn.outvars))
    precision = eqn.params["precision"]
    choice, reason = choice_for(metadata_of(eqn), lhs, rhs, out, precision)
    return (choice.backend if choice else "xla"), reason


def _unless_small(
    sizes: tuple[int, int, int, int], backend: str, reason: str
) -> tuple[str, str]:
    may_be_small = backend == "host" and SMALL_PRODUCTS.choose() == "xla"
    if may_be_small and xla_is_faster(*sizes):
        return "xla", "smaller than a call"
    return backend, reason


def _convolution(eqn: JaxprEqn) -> Product:
    """A product for each group: (places, window x features in) x (…, features out)."""
    numbers, groups = eqn.params["dimension_numbers"], eqn.params["feature_group_count"]
    groups *= eqn.params["batch_group_count"]
    _, kernel, out = map(_aval, (*eqn.invars, *eqn.outvars))
    features = out.shape[numbers.out_spec[1]]
    k = kernel.size // kernel.shape[numbers.rhs_spec[0]]
    m, n = out.size // features, features // groups
    return Product(groups, m, k, n, *_dtypes(eqn), "xla", "convolution")


def _ragged_product(eqn: JaxprEqn) -> Product:
    """All rows of the groups together, with the matrices of one group.

    jax lowers it to products of lax, which are offloaded as others are.
    """
    numbers = eqn.params["ragged_dot_dimension_numbers"].dot_dimension_numbers
    lhs, out = _aval(eqn.invars[0]), _aval(eqn.outvars[0])
    k = math.prod(lhs.shape[d] for d in numbers[0][0])
    m = lhs.size // k
    return Product(1, m, k, out.size // m, *_dtypes(eqn), *_backend_and_reason(eqn))


def _dtypes(eqn: JaxprEqn) -> tuple[str, str, str]:
    lhs, rhs, out = (str(_aval(v).dtype) for v in (*eqn.invars[:2], *eqn.outvars))
    return lhs, rhs, out


def _aval(variable: Any) -> jax.core.ShapedArray:
    aval: jax.core.ShapedArray = variable.aval
    return aval
