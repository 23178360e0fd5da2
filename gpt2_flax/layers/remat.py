"""Computing again in the backward pass what the forward pass does not keep.

jax.checkpoint does nothing of that on CPUs: XLA:CPU removes its optimization barriers
and then finds that both passes compute the same (jax 0.10.2: not a byte less). Here
what is computed again waits for the cotangent, which the forward pass does not have.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero

REMAT = ("none", "attention", "blocks")  # what is computed again

Function = Callable[..., Array]


def recomputed(function: Function) -> Function:
    """`function` of (parameters, x, ...), of which only the arguments are kept.

    It has no forward-mode derivative. Arguments that are not differentiated have no
    products for their gradients.
    """

    @jax.custom_vjp
    def run(*args: Any) -> Array:
        return function(*args)

    def forward(*args: Any) -> tuple[Array, Any]:
        moving = _map(lambda arg: arg.value if arg.perturbed else None, args)
        fixed = _map(lambda arg: None if arg.perturbed else arg.value, args)
        return function(*_map(lambda arg: arg.value, args)), (moving, fixed)

    def backward(kept: Any, ct: Any) -> Any:
        if isinstance(ct, SymbolicZero):
            ct = jnp.zeros(ct.shape, ct.dtype)
        moving, fixed = (_waiting(part, ct) for part in kept)

        def again(moving: Any) -> Array:
            return function(*_joined(moving, fixed))

        _, transposed = jax.vjp(again, moving)
        (cotangents,) = transposed(ct)
        return cotangents

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run


def _map(change: Callable[[Any], Any], args: Any) -> Any:
    return jax.tree.map(
        change, args, is_leaf=lambda arg: isinstance(arg, CustomVJPPrimal)
    )


def _joined(moving: Any, fixed: Any) -> Any:
    return jax.tree.map(
        lambda a, b: b if a is None else a,
        moving,
        fixed,
        is_leaf=lambda arg: arg is None,
    )


def _waiting(args: tuple[Any, ...], ct: Array) -> tuple[Any, ...]:
    """`args` whose x is there only after the cotangent: x + 0 ct[0], equal to x.

    XLA keeps the product by zero, because a cotangent may be NaN. Then every gradient
    is NaN anyway.
    """
    parameters, x, *others = args
    if x is not None:
        first = ct[(0,) * ct.ndim]
        x = x + (0 * first).astype(x.dtype)
    return parameters, x, *others
