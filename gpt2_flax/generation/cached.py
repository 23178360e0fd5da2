"""GPT-2 over a cache: keys and values of earlier tokens are kept, not recomputed.

A call computes the next T tokens of every text, T = 1 while a text grows. Slot i of the
cache is for position i. Slots from a text's end on may hold anything finite: no query
sees them before they are written.

Shapes are those of model.py; S is the number of slots.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from gpt2_flax.model import GPT2, DotGeneral, GPT2Config, Params

Cache = tuple[tuple[Array, Array], ...]  # keys and values (B, S, H, D) of each block
CachedLogits = Callable[
    [Params, Cache, ArrayLike, ArrayLike, ArrayLike], tuple[Array, Cache]
]


def empty_cache(
    config: GPT2Config, batch_size: int, num_slots: int, dtype: DTypeLike
) -> Cache:
    head_dim = config.embed_dim // config.num_heads
    shape = (batch_size, num_slots, config.num_heads, head_dim)
    # Each array has memory of its own, so that all can be donated.
    return tuple(
        (jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))
        for _ in range(config.num_layers)
    )


def cached_logits_function(config: GPT2Config, dot_general: DotGeneral) -> CachedLogits:
    """The model as a function of parameters, cache and the next tokens (B, T).

    Further arguments are the position of the first of the T tokens, and which of them
    is the last of the text: later ones are padding. Returns the last token's logits,
    (B, V), and the cache with the T tokens in their slots, of which S must have enough.
    """
    network = nnx.eval_shape(lambda: GPT2(config, dot_general, nnx.Rngs(0)))
    graph = nnx.graphdef(network)

    def logits(
        params: Params,
        cache: Cache,
        tokens: ArrayLike,
        start: ArrayLike,
        last: ArrayLike,
    ) -> tuple[Array, Cache]:
        return advance(
            nnx.merge(graph, params), cache, jnp.asarray(tokens), start, last
        )

    return logits


def advance(
    network: GPT2, cache: Cache, tokens: Array, start: ArrayLike, last: ArrayLike
) -> tuple[Array, Cache]:
    positions = jnp.asarray(start) + jnp.arange(tokens.shape[1])  # (T,)
    slots = jnp.arange(cache[0][0].shape[1])  # (S,)
    visible = slots <= positions[:, None]  # (T, S)
    x = network.embed(tokens, positions)  # (B, T, C)
    new_cache = []
    for block, kept in zip(network.blocks, cache):
        q, *new = block.attention.heads(block.norm_1(x).astype(block.dtype))
        keys, values = (write(old, part, start) for old, part in zip(kept, new))
        context = block.attention.attend(q, keys, values, visible)  # (B, H, T, D)
        x = x + block.attention.proj(context)
        x = x + block.mlp(block.norm_2(x).astype(block.dtype))
        new_cache.append((keys, values))
    x = jax.lax.dynamic_slice_in_dim(x, last, 1, axis=1)  # (B, 1, C)
    return network.logits(x)[:, 0], tuple(new_cache)


def write(slots: Array, new: Array, start: ArrayLike) -> Array:
    """`slots` (B, S, H, D) with `new` (B, T, H, D) from slot `start` on."""
    new = new.astype(slots.dtype)
    return jax.lax.dynamic_update_slice_in_dim(slots, new, start, axis=1)
