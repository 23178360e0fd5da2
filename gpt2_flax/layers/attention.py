"""Causal self-attention, a block of queries at a time.

Operands are passed as they lie: attention batches over H of (..., T, H, D) operands and
the output projection contracts (H, D) of (..., H, T, D), so no call site transposes.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from gpt2_flax.layers.adapter import AdapterConfig
from gpt2_flax.layers.config import GPT2Config
from gpt2_flax.layers.dropout import dropout, fold
from gpt2_flax.layers.linear import (
    INIT_STDDEV,
    DotGeneral,
    HeadsLinear,
    Linear,
    residual_init,
)
from gpt2_flax.layers.remat import recomputed
from gpt2_flax.layers.softmax import softmax

# Queries that attend at a time. The scores of a block, (H, 256, S), stay in the caches,
# and none is computed for keys after the block, which the causal mask would hide.
QUERIES = 256

AdapterOf = Callable[[str], AdapterConfig | None]  # by a name of LINEAR_LAYERS


class Attention(nnx.Module):
    def __init__(
        self,
        config: GPT2Config,
        layer: int,
        dot_general: DotGeneral,
        rngs: nnx.Rngs,
        adapter_of: AdapterOf,
        is_recomputed: bool = False,
    ):
        self.is_recomputed = is_recomputed
        self.num_heads = config.num_heads
        self.head_dim = config.embed_dim // config.num_heads
        self.divisor = config.score_divisor(layer)
        self.dropout = config.attention_dropout
        self.dot_general = dot_general
        self.dtype = config.dtype
        self.qkv = Linear(
            config.embed_dim,
            3 * config.embed_dim,
            dot_general,
            rngs,
            config.dtype,
            nnx.initializers.normal(INIT_STDDEV),
            adapter_of("attention.qkv"),
        )
        self.proj = HeadsLinear(
            (self.num_heads, self.head_dim),
            config.embed_dim,
            dot_general,
            rngs,
            jnp.float32,
            residual_init(config.num_layers),
            adapter_of("attention.proj"),
        )

    def __call__(
        self, x: Array, segments: Array | None = None, key: Array | None = None
    ) -> Array:
        """Causal self-attention of x (..., T, C) to (..., T, C).

        With `segments` (..., T), a token sees only tokens of its own segment.
        """
        t = x.shape[-2]
        q, k, v = self.heads(x)  # (..., T, H, D) each
        attend = self.attend_again if self.is_recomputed else self.attend
        contexts = []
        for start in range(0, t, QUERIES):
            end = min(start + QUERIES, t)
            before = np.s_[..., :end, :, :]  # the block itself and all before it
            visible = None
            if segments is not None:
                visible = causal(end - start, end) & same(segments, start, end)
            part = fold(key, start)
            q_block = q[..., start:end, :, :]
            contexts.append(attend(q_block, k[before], v[before], visible, part))
        context = jnp.concatenate(contexts, axis=-2)  # (..., H, T, D)
        return self.proj(context)  # contracts (H, D): (..., T, C)

    def heads(self, x: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values (..., T, H, D) of x (..., T, C)."""
        *batch, t, _ = x.shape
        qkv = self.qkv(x).astype(self.dtype)  # (..., T, 3 C)
        # The gradient of jnp.split is written once, by a concatenation; slices would
        # each write zeros as large as qkv.
        q, k, v = (
            part.reshape(*batch, t, self.num_heads, self.head_dim)  # (..., T, H, D)
            for part in jnp.split(qkv, 3, axis=-1)  # (..., T, C)
        )
        return q, k, v

    def attend_again(self, *args: Array | None) -> Array:
        """`attend`, of which the weights are not kept for the backward pass."""
        return recomputed(lambda _, *inputs: self.attend(*inputs))(None, *args)

    def attend(
        self,
        q: Array,
        k: Array,
        v: Array,
        visible: Array | None = None,
        key: Array | None = None,
    ) -> Array:
        """softmax(q k^T / sqrt(D)) v, over the keys that are visible to each query.

        q is (..., T, H, D), k and v are (..., S, H, D), the result is (..., H, T, D).
        `visible` is (T, S) or (..., 1, T, S), by default causal: queries are the last T
        of S tokens. With `key`, weights are dropped.
        """
        *batch, token, head, channel = range(q.ndim)
        each_head = (*batch, head)
        # q k^T: (..., T, H, D) x (..., S, H, D) -> (..., H, T, S)
        scores = self.dot_general(
            q,
            k,
            (((channel,), (channel,)), (each_head, each_head)),
            preferred_element_type=jnp.float32,
        )
        if visible is None:
            visible = causal(*scores.shape[-2:])
        scores = jnp.where(visible, scores / self.divisor, -jnp.inf)
        weights = softmax(scores).astype(self.dtype)  # (..., H, T, S)
        weights = dropout(weights, self.dropout, key)
        *batch, head, _, last = range(weights.ndim)
        # weights v: (..., H, T, S) x (..., S, H, D) -> (..., H, T, D)
        return self.dot_general(
            weights,
            v,
            (((last,), (token,)), ((*batch, head), each_head)),
            preferred_element_type=self.dtype,
        )


def causal(t: int, s: int) -> Array:
    """Which of S keys the last T tokens see, (T, S): i is token s - t + i."""
    return jnp.tril(jnp.ones((t, s), bool), s - t)


def same(segments: Array, start: int, end: int) -> Array:
    """Which keys up to `end` are of a query's segment, (..., 1, T, S)."""
    of_queries, of_keys = segments[..., start:end], segments[..., :end]
    return (of_queries[..., :, None] == of_keys[..., None, :])[..., None, :, :]
