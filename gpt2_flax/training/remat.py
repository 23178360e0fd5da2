"""What the backward pass finds of the forward pass, by the values of --remat."""

from functools import partial

import jax

import jax_npu
from gpt2_flax.model import Remat

REMAT: dict[str, Remat | None] = {
    "none": None,
    "blocks": jax.checkpoint,
    "products": partial(
        jax.checkpoint,
        policy=jax_npu.checkpoint_policies.dots_with_no_batch_dims_saveable,
    ),
}
