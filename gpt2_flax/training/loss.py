"""The loss: cross-entropy of the next token, with a derivative that suits XLA:CPU."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def cross_entropy(logits: Array, targets: ArrayLike) -> Array:
    """Mean of -ln softmax(logits)[target], in nats per token.

    Logits are (..., T, V), targets (..., T).
    """
    return token_losses(logits, targets).mean()


@jax.custom_jvp
def token_losses(logits: Array, targets: Array) -> Array:
    """The loss of each token, (...), from logits x (..., V) and targets t (...).

    -ln softmax(x)[t] = logsumexp(x) - x[t]
    """
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - target_logits  # (...)


@token_losses.defjvp
def token_losses_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Derivative of the losses: dl = sum_v (softmax(x) - onehot(t))_v dx_v.

    The gradient is computed from the logits in one pass. JAX's own derivative keeps the
    exponentials, as large as the logits, and then scatters into them.
    """
    logits, targets = primals  # (..., V), (...)
    losses = token_losses(logits, targets)  # (...)
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1)  # (..., 1)
    log_sum = losses[..., None] + target_logits  # logsumexp(x) = l + x[t], (..., 1)
    is_target = jnp.arange(logits.shape[-1]) == targets[..., None]  # (..., V)
    gradient = jnp.exp(logits - log_sum) - is_target  # (..., V)
    return losses, (gradient * tangents[0]).sum(axis=-1)  # (...)
