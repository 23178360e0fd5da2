"""An optimizer whose moments are kept in bf16: half of their memory.

Each step reads them, computes in float32, and rounds to nearest what it keeps.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax


def keep_in_bf16(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The optimizer with every float32 array of its state kept in bf16; counts stay."""

    def init(params: optax.Params) -> optax.OptState:
        return _cast(optimizer.init(params), jnp.float32, jnp.bfloat16)

    def update(
        grads: optax.Updates, state: optax.OptState, params: Any = None
    ) -> tuple[optax.Updates, optax.OptState]:
        state = _cast(state, jnp.bfloat16, jnp.float32)
        updates, state = optimizer.update(grads, state, params)
        return updates, _cast(state, jnp.float32, jnp.bfloat16)

    return optax.GradientTransformation(init, update)


def _cast(state: Any, old: Any, new: Any) -> Any:
    return jax.tree.map(
        lambda x: x.astype(new) if x.ndim and x.dtype == old else x, state
    )
