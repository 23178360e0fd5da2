"""Clipping by the norm of all gradients together, as one factor for each of them."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike


def clip_by_global_norm(max_norm: ArrayLike) -> optax.GradientTransformation:
    """optax.clip_by_global_norm, but multiplying every gradient by one factor.

    optax 0.2.8 divides every gradient, and XLA:CPU writes a quotient out before both
    moments read it: parameter-sized memory that a product with a scalar does not take.
    """

    def shorten(grads: Any, params: Any | None) -> Any:
        factor = clip_factor(max_norm, grads)
        return jax.tree.map(lambda g: factor.astype(g.dtype) * g, grads)

    return optax.stateless(shorten)


def clip_factor(max_norm: ArrayLike, grads: Any) -> jax.Array:
    """min(1, max_norm / |g|): short gradients stay as they are, NaN stays NaN."""
    return jnp.minimum(1.0, max_norm / optax.tree.norm(grads))
