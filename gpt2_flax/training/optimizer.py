"""AdamW as GPT-2 is usually trained: warm-up, cosine, clipping, decayed matrices."""

import jax
import jax.numpy as jnp
import optax

from gpt2_flax.model import Params

BETAS = (0.9, 0.95)  # GPT-3 paper, appendix B; nanoGPT and llm.c follow it
END_OF_COSINE = 0.1  # of the peak learning rate, same source


def make_optimizer(
    schedule: optax.Schedule, weight_decay: float, max_grad_norm: float
) -> optax.GradientTransformation:
    b1, b2 = BETAS
    return optax.chain(
        clip_by_global_norm(max_grad_norm),
        optax.adamw(schedule, b1, b2, weight_decay=weight_decay, mask=decayed),
    )


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """optax's, as one factor.

    optax 0.2.8 divides every gradient, and XLA:CPU writes a quotient out before both
    moments read it: parameter-sized memory that a product with a scalar does not take.
    """

    def shorten(grads: Params, params: Params | None) -> Params:
        factor = jnp.minimum(1.0, max_norm / optax.tree.norm(grads))
        return jax.tree.map(lambda g: factor * g, grads)

    return optax.stateless(shorten)


def make_schedule(lr: float, warmup_steps: int, steps: int) -> optax.Schedule:
    """Linear from lr / warmup_steps in the first step, then a cosine to lr / 10."""
    warmup = optax.linear_schedule(lr / max(warmup_steps, 1), lr, warmup_steps - 1)
    cosine = optax.cosine_decay_schedule(
        lr, max(steps - warmup_steps, 1), alpha=END_OF_COSINE
    )
    return optax.join_schedules([warmup, cosine], [warmup_steps])


def decayed(params: Params) -> Params:
    """Matrices and both embeddings, as in nanoGPT; never biases or LayerNorm scales."""
    return jax.tree.map_with_path(
        lambda path, _: path[-1].key in ("kernel", "embedding"), params
    )
