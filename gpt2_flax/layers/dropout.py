"""Dropout, as PyTorch and transformers do it: kept values grow by 1 / (1 - rate)."""

import jax
import jax.numpy as jnp
from jax import Array


def dropout(x: Array, rate: float, key: Array | None) -> Array:
    """x where each value is zero with that probability; x itself without a key."""
    if key is None or rate == 0.0:
        return x
    if rate == 1.0:  # as in PyTorch, and without 0 / 0
        return jnp.zeros_like(x)
    kept = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(kept, x / (1.0 - rate), jnp.zeros_like(x))


def fold(key: Array | None, number: int) -> Array | None:
    """Another key for each number; none where there is no key."""
    return None if key is None else jax.random.fold_in(key, number)
