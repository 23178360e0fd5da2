"""A block of GPT-2: attention and an MLP, each added to the residual stream."""

import jax.numpy as jnp
from flax import nnx
from jax import Array

from gpt2_flax.layers.activations import ACTIVATION_FUNCTIONS
from gpt2_flax.layers.attention import AdapterOf, Attention
from gpt2_flax.layers.config import GPT2Config
from gpt2_flax.layers.dropout import dropout, fold
from gpt2_flax.layers.linear import INIT_STDDEV, DotGeneral, Linear, residual_init


class MLP(nnx.Module):
    def __init__(
        self,
        config: GPT2Config,
        dot_general: DotGeneral,
        rngs: nnx.Rngs,
        adapter_of: AdapterOf,
    ):
        self.dtype = config.dtype
        self.activation_function = config.activation_function
        self.fc = Linear(
            config.embed_dim,
            config.mlp_dim,
            dot_general,
            rngs,
            config.dtype,
            nnx.initializers.normal(INIT_STDDEV),
            adapter_of("mlp.fc"),
        )
        self.proj = Linear(
            config.mlp_dim,
            config.embed_dim,
            dot_general,
            rngs,
            jnp.float32,
            residual_init(config.num_layers),
            adapter_of("mlp.proj"),
        )

    def __call__(self, x: Array) -> Array:
        activate = ACTIVATION_FUNCTIONS[self.activation_function]
        hidden = activate(self.fc(x))  # (..., T, 4 C)
        return self.proj(hidden.astype(self.dtype))  # (..., T, C)


class Block(nnx.Module):
    def __init__(
        self,
        config: GPT2Config,
        layer: int,
        dot_general: DotGeneral,
        rngs: nnx.Rngs,
        adapter_of: AdapterOf,
        remat: str = "none",
    ):
        self.dtype = config.dtype
        self.dropout = config.residual_dropout
        self.norm_1 = nnx.LayerNorm(
            config.embed_dim, epsilon=config.norm_eps, rngs=rngs
        )
        self.attention = Attention(
            config, layer, dot_general, rngs, adapter_of, remat == "attention"
        )
        self.norm_2 = nnx.LayerNorm(
            config.embed_dim, epsilon=config.norm_eps, rngs=rngs
        )
        self.mlp = MLP(config, dot_general, rngs, adapter_of)

    def __call__(
        self, x: Array, segments: Array | None = None, key: Array | None = None
    ) -> Array:
        # x is the residual stream, (..., T, C) in f32.
        normed = self.norm_1(x).astype(self.dtype)
        attended = self.attention(normed, segments, fold(key, 0))
        x = x + dropout(attended, self.dropout, fold(key, 1))
        hidden = self.mlp(self.norm_2(x).astype(self.dtype))
        return x + dropout(hidden, self.dropout, fold(key, 2))
