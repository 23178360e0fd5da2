"""Rules of the primitive for tools of jax that keep tables of their own.

Each is registered once its tool is imported: some of these modules import slowly.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax import lax
from jax.core import ShapedArray

from jax_npu.contraction import Spec, contraction_axes
from jax_npu.primitive.as_lax import product_of_lax


def register_for_imported_tools(primitive: Any) -> None:
    """Registers the rules of the primitive for each tool that was imported by now."""
    for module, register in _TOOLS.items():
        if module in sys.modules:
            _register_once(register, primitive)


@functools.cache
def _register_once(register: Callable[[Any], None], primitive: Any) -> None:
    register(primitive)


def _register_for_checkify(primitive: Any) -> None:
    from jax_npu.jax_private import check_for_nan

    check_for_nan(primitive)


def _register_for_jet(primitive: Any) -> None:
    from jax.experimental import jet

    jet.jet_rules[primitive] = functools.partial(_taylor, primitive)


def _taylor(
    primitive: Any,
    primals: tuple[jax.Array, jax.Array],
    series: tuple[Sequence[jax.Array], Sequence[jax.Array]],
    **params: Any,
) -> tuple[jax.Array, list[jax.Array]]:
    """The terms of a product of two Taylor series, by Leibniz's rule."""
    lhs, rhs = ([first, *rest] for first, rest in zip(primals, series))

    def term(order: int) -> jax.Array:
        pairs = zip(lhs[: order + 1], reversed(rhs[: order + 1]))
        products = (primitive.bind(a, b, **params) for a, b in pairs)
        total: jax.Array = functools.reduce(lax.add, products)
        return total

    first, *rest = map(term, range(len(lhs)))
    return first, rest


def _register_for_sparsify(primitive: Any) -> None:
    from jax.experimental.sparse import JAXSparse, sparsify, transform

    def rule(environment: Any, *values: Any, spec: Spec, **params: Any) -> Any:
        operands = transform.spvalues_to_arrays(environment, values)
        if any(isinstance(operand, JAXSparse) for operand in operands):
            product = functools.partial(product_of_lax, spec=spec, **params)
            result = sparsify(product)(*operands)
        else:
            result = primitive.bind(*operands, spec=spec, **params)
        return transform.arrays_to_spvalues(environment, [result])

    transform.sparse_rules_bcoo[primitive] = rule
    transform.sparse_rules_bcsr[primitive] = rule


def _register_for_roofline(primitive: Any) -> None:
    from jax.experimental import roofline

    @roofline.register_roofline(primitive)  # type: ignore[untyped-decorator]
    def rule(context: Any, *_: Any, spec: Spec, **params: Any) -> Any:
        lhs, rhs = context.avals_in
        batch, m, k, n = contraction_axes(spec, lhs.shape, rhs.shape).sizes
        flops = 2 * batch * m * k * n
        num_bytes = sum(map(_num_bytes, (lhs, rhs, *context.avals_out)))
        return roofline.RooflineResult(
            flops=flops,
            unfused_flops=flops,
            hbm_bytes=num_bytes,
            unfused_hbm_bytes=num_bytes,
        )


def _num_bytes(aval: ShapedArray) -> int:
    return int(aval.size) * int(aval.dtype.itemsize)


_TOOLS = {
    "jax.experimental.checkify": _register_for_checkify,
    "jax.experimental.jet": _register_for_jet,
    "jax.experimental.sparse": _register_for_sparsify,
    "jax.experimental.roofline": _register_for_roofline,
}
