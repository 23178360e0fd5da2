"""bf16 images of weights, which AdamW writes and products of the next step read.

Products round f32 weights to bf16: from an image, they read half of the bytes. Images
are part of a step's state, but of no checkpoint: parameters alone say what they are.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

import jax_npu
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.machine import parse_mesh
from gpt2_flax.model import Params


def has_images(config: TrainConfig) -> bool:
    """Whether steps of a run keep images: they are one pass, and products round.

    Accumulation reads weights from outside its loop, where they are packed once.
    """
    options: Any = jax.config  # its options have no types
    return (
        (config.optimizer, config.moments, config.accumulate) == ("fused", "f32", 1)
        and math.prod(parse_mesh(config.mesh).values()) == 1
        and options.jax_default_matmul_precision is None
        and jax_npu.resolve_backend() != "xla"
    )


def images_of(params: Params) -> Params:
    """The matrices that products read, in bf16; None for every other array."""
    head = "head" if "head" in params else "tokens"

    def image(path: tuple[Any, ...], param: jax.Array) -> jax.Array | None:
        is_read = path[-1].key == "kernel" or path[0].key == head
        return param.astype(jnp.bfloat16) if is_read else None

    images: Params = jax.tree.map_with_path(image, params)
    return images


def with_images(params: Params, images: Params | None) -> Params:
    """`params`, of which products read the images."""
    if images is None:
        return params
    paired: Params = jax.tree.map(
        lambda image, param: (
            param if image is None else jax_npu.with_image(param, image)
        ),
        images,
        params,
        is_leaf=lambda image: image is None,
    )
    return paired
