"""AdamW as GPT-2 is usually trained: warm-up, cosine, clipping, decayed matrices."""

import jax
import optax

import jax_npu
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.layers.adapter import LORA_A, LORA_B
from gpt2_flax.model import Params

BETAS = (0.9, 0.95)  # GPT-3 paper, appendix B; nanoGPT and llm.c follow it
END_OF_COSINE = 0.1  # of the peak learning rate, same source


DECAYED = ("kernel", "embedding", LORA_A, LORA_B)


def optimizer_of(config: TrainConfig) -> optax.GradientTransformation:
    schedule = make_schedule(config.lr, config.warmup_steps, config.steps)
    make = {"fused": make_optimizer, "optax": make_optaxs_optimizer}[config.optimizer]
    return make(schedule, config.weight_decay, config.max_grad_norm)


def make_optimizer(
    schedule: optax.Schedule, weight_decay: float, max_grad_norm: float
) -> jax_npu.AdamW:
    """Clipping first, then AdamW, as in nanoGPT; an array's update is one pass."""
    b1, b2 = BETAS
    return jax_npu.adamw(
        schedule,
        b1,
        b2,
        weight_decay=weight_decay,
        mask=decayed,
        max_norm=max_grad_norm,
    )


def make_optaxs_optimizer(
    schedule: optax.Schedule, weight_decay: float, max_grad_norm: float
) -> optax.GradientTransformation:
    """The same of optax's transformations, with the same state."""
    return make_optimizer(schedule, weight_decay, max_grad_norm).stock()


def make_schedule(lr: float, warmup_steps: int, steps: int) -> optax.Schedule:
    """Learning rate by step: linear warm-up to `lr`, then a cosine down to lr / 10.

    Step i of 0, 1, ... < warmup_steps has lr (i + 1) / warmup_steps: none has zero.
    """
    warmup = optax.linear_schedule(lr / max(warmup_steps, 1), lr, warmup_steps - 1)
    cosine = optax.cosine_decay_schedule(
        lr, max(steps - warmup_steps, 1), alpha=END_OF_COSINE
    )
    return optax.join_schedules([warmup, cosine], [warmup_steps])


def decayed(params: Params) -> Params:
    """The mask of what weight decay shrinks: matrices and embeddings, as in nanoGPT.

    Biases and LayerNorm scales are left out.
    """
    mask: Params = jax.tree.map_with_path(
        lambda path, _: path[-1].key in DECAYED, params
    )
    return mask
