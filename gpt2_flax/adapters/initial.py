"""The parameters of an adapter before its first step."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gpt2_flax.layers.adapter import (
    ADAPTER_LEAVES,
    LENGTHS,
    LORA_A,
    LORA_B,
    AdapterConfig,
)
from gpt2_flax.model import Params


def add_adapter(params: Params, adapter: AdapterConfig, seed: int) -> Params:
    """`params` with the adapter's beside them, which change nothing yet: B is zero.

    A is uniform in +-1 / sqrt(inputs), as in PEFT and in LoRA's own code; DoRA's
    lengths are those of the columns.
    """
    blocks = {}
    for i, block in params["blocks"].items():
        new = {name: dict(module) for name, module in block.items()}
        for j, target in enumerate(sorted(adapter.targets)):
            module, layer = target.split(".")
            key = jax.random.fold_in(jax.random.key(seed), i * 16 + j)
            old = new[module][layer]
            new[module][layer] = {**old, **_first(old["kernel"], adapter, key)}
        blocks[i] = new
    return {**params, "blocks": blocks}


def shape_adapted(params: Params, adapter: AdapterConfig) -> Params:
    """`add_adapter` on a tree of jax.ShapeDtypeStruct."""
    shapes: Params = jax.eval_shape(
        partial(add_adapter, adapter=adapter, seed=0), params
    )
    return shapes


def is_of_adapter(path: tuple[Any, ...]) -> bool:
    """Whether that path of a parameter is one of an adapter's."""
    return path[-1] in ADAPTER_LEAVES


def _first(kernel: jax.Array, adapter: AdapterConfig, key: jax.Array) -> Params:
    inner, outer = kernel.shape[:-1], kernel.shape[-1]
    bound = 1 / math.sqrt(math.prod(inner))
    shape = (*inner, adapter.rank)
    leaves = {
        LORA_A: jax.random.uniform(key, shape, jnp.float32, -bound, bound),
        LORA_B: jnp.zeros((adapter.rank, outer), jnp.float32),
    }
    if adapter.dora:
        columns = kernel.reshape(-1, outer)
        leaves[LENGTHS] = jnp.sqrt((columns**2).sum(axis=0))
    return leaves
