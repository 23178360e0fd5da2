"""Values that only products read, written as bf16 where they are computed.

A product rounds its f32 operands to bf16. Where nothing else reads an operand, the
operation that computes it may as well round: XLA fuses the conversion into it, so that
half of the bytes are written, and read by each product. Results are the same to the
bit.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from jax_npu.jax_private import metadata_of, name_scopes
from jax_npu.lowering.offload_choice import choice_for, passes_of
from jax_npu.primitive.gemm import gemm_p
from jax_npu.primitive.weight_image import with_image_p

# What XLA:CPU fuses with a conversion of the result, by jax's names.
_ELEMENTWISE = frozenset(
    (
        *("abs", "add", "add_any", "clamp", "div", "erf", "exp", "exp2", "integer_pow"),
        *("log", "log1p", "logistic", "max", "min", "mul", "neg", "pow", "rsqrt"),
        *("select_n", "sign", "sqrt", "square", "sub", "tanh"),
    )
)
_SAME_ELEMENTS = frozenset(["reshape", "squeeze", "expand_dims"])


Function = TypeVar("Function", bound=Callable[..., Any])


def round_early(function: Function) -> Function:
    """`function`, with what only products read rounded where it is computed.

    Products read the image of a weight that has one, see `jax_npu.with_image`.

    Apply it last, to what `jax.jit` compiles: derivatives are taken inside. On backend
    `xla`, and for products of higher precision, nothing changes.

        step = jax.jit(jax_npu.round_early(step), donate_argnums=0)
    """

    @functools.wraps(function)
    def rounding(*args: Any, **kwargs: Any) -> Any:
        closed, out_shape = jax.make_jaxpr(function, return_shape=True)(*args, **kwargs)
        changed = ClosedJaxpr(_rounded(closed.jaxpr), closed.consts)
        flat = core.jaxpr_as_fun(changed)(*jax.tree.leaves((args, kwargs)))
        return jax.tree.unflatten(jax.tree.structure(out_shape), flat)

    return cast(Function, rounding)


def _rounded(jaxpr: Jaxpr) -> Jaxpr:
    early = set(_only_for_products(jaxpr))
    rounded: dict[Any, Any] = {}
    images: dict[Any, Any] = {}  # of weights, for products alone
    eqns = []
    for eqn in jaxpr.eqns:
        known = {**images, **rounded} if _rounds_operands(eqn) else rounded
        invars = [known.get(v, v) if _is_variable(v) else v for v in eqn.invars]
        if eqn.primitive is with_image_p:
            images[eqn.outvars[0]] = invars[1]
        params = _inside(eqn.params)
        if eqn.primitive is lax.dot_general_p:  # whose result may follow the operands
            params["preferred_element_type"] = cast(Any, eqn.outvars[0].aval).dtype
        eqns.append(eqn.replace(invars=invars, params=params))
        for variable in filter(early.__contains__, eqn.outvars):
            conversion, rounded[variable] = _conversion(variable)
            eqns.append(conversion)
    changed: Jaxpr = jaxpr.replace(eqns=eqns)
    return changed


def _only_for_products(jaxpr: Jaxpr) -> Iterator[Any]:
    """The f32 variables that an elementwise operation computes for products alone."""
    made_by = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    others = {v for v in jaxpr.outvars if _is_variable(v)}
    read: set[Any] = set()
    for eqn in jaxpr.eqns:
        (read if _rounds_operands(eqn) else others).update(
            filter(_is_variable, eqn.invars)
        )
    for variable in read - others:
        if variable.aval.dtype == jnp.float32 and _is_elementwise(variable, made_by):
            yield variable


def _rounds_operands(eqn: JaxprEqn) -> bool:
    """Whether an equation is our product, or one that is offloaded, in one pass."""
    if eqn.primitive is gemm_p:
        return bool(eqn.params["passes"] == 1)
    if eqn.primitive is not lax.dot_general_p:
        return False
    precision = eqn.params["precision"]
    lhs, rhs, out = (cast(Any, v.aval) for v in (*eqn.invars, *eqn.outvars))
    choice, _ = choice_for(metadata_of(eqn), lhs, rhs, out, precision)
    return choice is not None and passes_of(choice, precision, name_scopes(eqn)) == 1


def _is_elementwise(variable: Any, made_by: dict[Any, JaxprEqn]) -> bool:
    eqn = made_by.get(variable)
    if eqn is None:
        return False
    name = eqn.primitive.name
    if name in _SAME_ELEMENTS:
        return _is_elementwise(eqn.invars[0], made_by)
    if inner := next(_jaxprs(eqn.params), None):  # a jitted function, as jax.nn.gelu
        result = inner.outvars[eqn.outvars.index(variable)]
        return _is_elementwise(result, {v: e for e in inner.eqns for v in e.outvars})
    return name in _ELEMENTWISE


def _conversion(variable: Any) -> tuple[JaxprEqn, Any]:
    closed = jax.make_jaxpr(lambda x: lax.convert_element_type(x, jnp.bfloat16))(
        jax.ShapeDtypeStruct(variable.aval.shape, jnp.float32)
    )
    (conversion,) = closed.jaxpr.eqns
    return conversion.replace(invars=[variable]), conversion.outvars[0]


def _inside(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters with the programs in them changed too: of loops, branches and jits."""

    def changed(value: Any) -> Any:
        if isinstance(value, ClosedJaxpr):
            return ClosedJaxpr(_rounded(value.jaxpr), value.consts)
        if isinstance(value, Jaxpr):
            return _rounded(value)
        if isinstance(value, tuple) and any(isinstance(v, ClosedJaxpr) for v in value):
            return tuple(map(changed, value))  # of branches
        return value

    return {name: changed(value) for name, value in params.items()}


def _jaxprs(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        if isinstance(value, ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, Jaxpr):
            yield value


def _is_variable(atom: Any) -> bool:
    return not isinstance(atom, core.Literal)
