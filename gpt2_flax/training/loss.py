"""The loss: cross-entropy of the next token, with a derivative that suits XLA:CPU."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


class Rows(NamedTuple):
    """A batch as model and loss take it; without its first dimension if that is 1."""

    inputs: Array  # (..., T)
    targets: Array  # (..., T)
    mask: Array | None  # (..., T): whether a target counts; None: all do
    segments: Array | None  # (..., T), see `GPT2.__call__`


def rows_of(batch: Any) -> Rows:
    """Tokens (B, T + 1), or a `Batch` of them with a loss mask and segments."""
    tokens, mask, segments = batch if isinstance(batch, tuple) else (batch, None, None)
    if segments is not None:
        segments = segments[..., :-1]
    if len(tokens) == 1:  # XLA:CPU reduces more slowly beside a dimension of one
        tokens = tokens[0]  # (T + 1,)
        mask, segments = (None if x is None else x[0] for x in (mask, segments))
    return Rows(tokens[..., :-1], tokens[..., 1:], mask, segments)


def mean_loss(logits: Array, targets: ArrayLike, mask: Array | None) -> Array:
    """Mean loss of the targets that count, in nats per token; 0 if none does."""
    if mask is None:
        return cross_entropy(logits, targets)
    losses = token_losses(logits, targets)
    return jnp.where(mask, losses, 0).sum() / jnp.maximum(mask.sum(), 1)


def num_targets(batch: Any) -> ArrayLike:
    """How many targets of a batch count, at least 1."""
    rows = rows_of(batch)
    if rows.mask is None:
        return rows.targets.size
    return jnp.maximum(rows.mask.sum(), 1)


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
