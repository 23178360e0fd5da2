"""The optimizer that the flags name: clipping first, then decay of matrices only."""

import jax
import optax

import jax_npu
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.training import OF_OPTAX
from gpt2_flax.layers.adapter import LORA_A, LORA_B
from gpt2_flax.model import Params
from gpt2_flax.training.moments import keep_in_bf16
from gpt2_flax.training.optax_by_name import optax_by_name
from gpt2_flax.training.schedule import schedule_of

BETAS = (0.9, 0.95)  # GPT-3 paper, appendix B; nanoGPT and llm.c follow it
DECAYED = ("kernel", "embedding", LORA_A, LORA_B)


def optimizer_of(config: TrainConfig) -> optax.GradientTransformation:
    schedule, betas = schedule_of(config), (config.beta1, config.beta2)
    decay, norm = config.weight_decay, config.max_grad_norm
    if config.optimizer in OF_OPTAX:
        named = optax_by_name(config.optimizer, schedule, decay, decayed, betas)
        return optax.chain(optax.clip_by_global_norm(norm), named)
    if config.moments == "bf16":
        return keep_in_bf16(make_optaxs_optimizer(schedule, decay, norm, betas))
    make = {"fused": make_optimizer, "optax": make_optaxs_optimizer}[config.optimizer]
    return make(schedule, decay, norm, betas)


def make_optimizer(
    schedule: optax.Schedule,
    weight_decay: float,
    max_grad_norm: float,
    betas: tuple[float, float] = BETAS,
) -> jax_npu.AdamW:
    """Clipping first, then AdamW, as in nanoGPT; an array's update is one pass."""
    b1, b2 = betas
    return jax_npu.adamw(
        schedule,
        b1,
        b2,
        weight_decay=weight_decay,
        mask=decayed,
        max_norm=max_grad_norm,
    )


def make_optaxs_optimizer(
    schedule: optax.Schedule,
    weight_decay: float,
    max_grad_norm: float,
    betas: tuple[float, float] = BETAS,
) -> optax.GradientTransformation:
    """The same of optax's transformations, with the same state."""
    return make_optimizer(schedule, weight_decay, max_grad_norm, betas).stock()


def decayed(params: Params) -> Params:
    """The mask of what weight decay shrinks: matrices and embeddings, as in nanoGPT.

    Biases and LayerNorm scales are left out.
    """
    mask: Params = jax.tree.map_with_path(
        lambda path, _: path[-1].key in DECAYED, params
    )
    return mask
