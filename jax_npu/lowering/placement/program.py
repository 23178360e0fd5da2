"""The products of a program, a jaxpr, and which of them waits for which."""

import math
from dataclasses import dataclass
from typing import Any

from jax import lax
from jax.extend.core import Jaxpr, JaxprEqn, Literal, jaxprs_in_params

from jax_npu.contraction import Spec, contraction_axes, spec_from_dimension_numbers
from jax_npu.jax_private import metadata_of, name_scopes
from jax_npu.lowering.offload_choice import choice_for, passes_of
from jax_npu.lowering.settings import Settings
from jax_npu.precision import part_pairs
from xdna.placement.product import Product
from xdna.placement.timeline import Node

GEMM = "xdna_gemm"  # the name of our primitive
# What such an equation returns is, for a product, what it takes.
_SAME_VALUE = ("transpose",)


@dataclass(frozen=True)
class Found:
    """A product of a program, its place in a step, and how it runs."""

    product: Product
    node: Node
    names: str  # its name scopes
    backend: str
    settings: Settings


def products_of(jaxpr: Jaxpr) -> list[Found]:
    """The products of a program that run on one of our backends.

    A product waits for those whose results it is computed from. One in a `scan` counts
    as often as that iterates, one in a `while_loop` once, and one in a branch of `cond`
    as if it were taken. Products with sizes that are no numbers are left out.
    """
    walk = _Walk()
    walk.run(jaxpr, [walk.new_value() for _ in jaxpr.invars], 1, "")
    return walk.found


@dataclass(frozen=True)
class _Value:
    number: int
    after: int  # the products that it depends on, as bits


class _Walk:
    def __init__(self) -> None:
        self.found: list[Found] = []
        self.ancestors: list[int] = []  # of each product, as bits
        self.num_values = 0

    def new_value(self, after: int = 0) -> _Value:
        self.num_values += 1
        return _Value(self.num_values, after)

    def run(
        self, jaxpr: Jaxpr, arguments: list[_Value], times: int, names: str
    ) -> list[_Value]:
        values: dict[Any, _Value] = dict(zip(jaxpr.invars, arguments))

        def value_of(variable: Any) -> _Value:
            if isinstance(variable, Literal):
                return self.new_value()
            if variable not in values:  # a constant
                values[variable] = self.new_value()
            return values[variable]

        for eqn in jaxpr.eqns:
            operands = [value_of(variable) for variable in eqn.invars]
            values |= zip(eqn.outvars, self.step(eqn, operands, times, names))
        return [value_of(variable) for variable in jaxpr.outvars]

    def step(
        self, eqn: JaxprEqn, operands: list[_Value], times: int, names: str
    ) -> list[_Value]:
        names = name_scopes(eqn, names)
        after = 0
        for operand in operands:
            after |= operand.after
        found = described(eqn, names)
        if found is not None:
            product, backend, settings = found
            lhs, rhs = operands[:2]
            numbers = lhs.number, rhs.number
            node = Node(self.latest(after), product, numbers, times=times)
            self.found.append(Found(product, node, names, backend, settings))
            self.ancestors.append(after)
            return [self.new_value(after | 1 << len(self.found) - 1)]
        if eqn.primitive.name in _SAME_VALUE:
            return operands
        inner_times = times * eqn.params.get("length", 1)  # of a scan
        results: list[list[_Value]] = []
        for inner in jaxprs_in_params(eqn.params):
            arguments = operands
            if len(inner.invars) != len(operands):
                arguments = [self.new_value(after) for _ in inner.invars]
            results.append(self.run(inner, arguments, inner_times, names))
        if len(results) == 1 and len(results[0]) == len(eqn.outvars):
            return results[0]
        for values in results:
            for value in values:
                after |= value.after
        return [self.new_value(after) for _ in eqn.outvars]

    def latest(self, after: int) -> tuple[int, ...]:
        """The products of a set that no other one of it waits for."""
        latest = []
        while after:
            index = after.bit_length() - 1
            latest.append(index)
            after &= ~(self.ancestors[index] | 1 << index)
        return tuple(latest)


def described(eqn: JaxprEqn, names: str) -> tuple[Product, str, Settings] | None:
    """The product that an equation is, its backend and settings."""
    if eqn.primitive.name == GEMM:
        backend, settings = eqn.params["backend"], eqn.params["settings"]
        spec, passes = eqn.params["spec"], eqn.params["passes"]
    elif eqn.primitive is lax.dot_general_p:
        lhs, rhs, out = _avals(eqn)
        precision = eqn.params["precision"]
        choice, _ = choice_for(metadata_of(eqn), lhs, rhs, out, precision)
        if choice is None:
            return None
        numbers = eqn.params["dimension_numbers"]
        backend, settings = choice.backend, choice.settings
        spec = spec_from_dimension_numbers(numbers, lhs.ndim, rhs.ndim)
        passes = passes_of(choice, precision, names)
    else:
        return None
    lhs, rhs, out = _avals(eqn)
    product = product_of(spec, passes, lhs, rhs, out)
    return None if product is None else (product, backend, settings)


def _avals(eqn: JaxprEqn) -> tuple[Any, Any, Any]:
    lhs, rhs, out = (variable.aval for variable in (*eqn.invars[:2], *eqn.outvars))
    return lhs, rhs, out


def product_of(spec: Spec, passes: int, lhs: Any, rhs: Any, out: Any) -> Product | None:
    """A contraction as placement sees it; None if it is empty or sizes are symbols.

    Args:
      lhs, rhs, out: what has a shape and a dtype.
    """
    sizes = (*lhs.shape, *rhs.shape)
    if not all(isinstance(size, int) for size in sizes) or math.prod(sizes) == 0:
        return None
    axes = contraction_axes(spec, lhs.shape, rhs.shape)
    return Product(
        *axes.sizes,
        *axes.orders,
        a_bytes=lhs.dtype.itemsize,
        b_bytes=rhs.dtype.itemsize,
        out_bytes=out.dtype.itemsize,
        passes=len(part_pairs(passes, lhs.dtype, rhs.dtype)),
    )
