"""Weights and cache in the type in which products read them.

Every backend but `xla` rounds f32 operands to bf16. While a text grows, each token
reads every weight once, and nothing else of that size: rounded ahead, the weights are
half the bytes, and products give what they would have given.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

import jax_npu
from gpt2_flax.model import GPT2Config, Params


def operand_dtype(config: GPT2Config) -> DTypeLike:
    """The type in which products of the backend in force read their operands."""
    exact = jax_npu.resolve_backend() == "xla"
    # A precision asked for by jax's option sums products of several parts of f32.
    options: Any = jax.config  # its options have no types
    exact |= options.jax_default_matmul_precision is not None
    return config.dtype if exact else jnp.bfloat16


def round_weights(config: GPT2Config, params: Params) -> tuple[GPT2Config, Params]:
    """The same model with matrices of `operand_dtype`, but for the embeddings.

    The head becomes a matrix of its own: rows of the embedding are looked up unrounded.
    """
    if jax_npu.resolve_backend() == "xla" or operand_dtype(config) != jnp.bfloat16:
        return config, params
    head = params.get("head", params["tokens"])
    rounded = jax.tree.map_with_path(round_matrix, {**params, "head": head})
    return replace(config, tied_head=False), rounded


def round_matrix(path: tuple[Any, ...], array: Array) -> Array:
    is_matrix = path[-1].key == "kernel" or path[0].key == "head"
    return array.astype(jnp.bfloat16) if is_matrix else array
