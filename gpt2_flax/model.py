"""GPT-2 in Flax NNX, every matrix product through the `dot_general` it is given.

Shapes: ... is a batch dimension or none, T tokens (S tokens that they attend to),
H heads of D channels each, C = H D channels, V the size of the vocabulary.
"""

from functools import cache, partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from gpt2_flax.layers.adapter import AdapterConfig
from gpt2_flax.layers.block import Block
from gpt2_flax.layers.config import ACTIVATIONS, MODELS, GPT2Config
from gpt2_flax.layers.dropout import dropout, fold
from gpt2_flax.layers.linear import INIT_STDDEV, DotGeneral
from gpt2_flax.layers.remat import recomputed

__all__ = [
    "ACTIVATIONS",
    "GPT2",
    "MODELS",
    "SEEDS",
    "DotGeneral",
    "GPT2Config",
    "LogitsFunction",
    "Params",
    "init_params",
    "logits_function",
    "shape_params",
]

Params = dict[str, Any]

SEEDS = range(2**63)  # accepted by jax.random.key and NumPy alike


class LogitsFunction(Protocol):
    """The model as a function; see `GPT2.__call__` for its arguments."""

    def __call__(
        self,
        params: Params,
        tokens: ArrayLike,
        segments: ArrayLike | None = None,
        key: Array | None = None,
    ) -> Array: ...


class GPT2(nnx.Module):
    def __init__(
        self,
        config: GPT2Config,
        dot_general: DotGeneral,
        rngs: nnx.Rngs,
        adapter: AdapterConfig | None = None,
        remat: str = "none",
    ):
        def adapter_of(layer: str) -> AdapterConfig | None:
            return adapter if adapter and layer in adapter.targets else None

        init = nnx.initializers.normal(INIT_STDDEV)
        v, p, c = config.vocab_size, config.num_positions, config.embed_dim
        self.dot_general = dot_general
        self.dtype = config.dtype
        self.dropout = config.embed_dropout
        self.remat = remat
        self.tokens = nnx.Embed(v, c, embedding_init=init, rngs=rngs)
        self.positions = nnx.Embed(p, c, embedding_init=init, rngs=rngs)
        self.blocks = nnx.List(
            [
                Block(config, layer, dot_general, rngs, adapter_of, remat)
                for layer in range(config.num_layers)
            ]
        )
        self.norm = nnx.LayerNorm(c, epsilon=config.norm_eps, rngs=rngs)
        if not config.tied_head:
            self.head = nnx.Embed(v, c, embedding_init=init, rngs=rngs)
        self.tied_head = config.tied_head

    def __call__(
        self, tokens: Array, segments: Array | None = None, key: Array | None = None
    ) -> Array:
        """Token ids (..., T), T <= num_positions, to logits (..., T, V).

        Args:
          segments: (..., T), equal for tokens of one text, which lie together; none
            attends to another text, and positions begin with each.
          key: for dropout; without it, nothing is dropped.
        """
        if segments is None:
            positions = jnp.arange(tokens.shape[-1])  # (T,)
        else:
            positions = positions_in(segments)  # (..., T)
        x = dropout(self.embed(tokens, positions), self.dropout, key)
        for i, block in enumerate(self.blocks):
            x = self.apply(block, x, segments, fold(key, i + 1))
        return self.logits(x)

    def embed(self, tokens: Array, positions: Array) -> Array:
        """Tokens (..., T) at positions (T,) to the residual stream (..., T, C)."""
        return self.tokens(tokens) + self.positions(positions)

    def logits(self, x: Array) -> Array:
        """The last block's residual stream (..., T, C) to logits (..., T, V)."""
        head = (self.tokens if self.tied_head else self.head).embedding[...]  # (V, C)
        # (..., T, C) x (V, C) -> (..., T, V); Embed.attend would transpose the head.
        return self.dot_general(
            self.norm(x).astype(self.dtype),
            head,
            (((x.ndim - 1,), (1,)), ((), ())),
            preferred_element_type=jnp.float32,
        )

    def apply(
        self, block: Block, x: Array, segments: Array | None, key: Array | None
    ) -> Array:
        """The block on x; of which only x is kept where blocks are recomputed."""
        if self.remat != "blocks":
            return block(x, segments, key)
        graph, state = nnx.split(block)
        run = recomputed(lambda state, *inputs: nnx.merge(graph, state)(*inputs))
        return run(state, x, segments, key)


def positions_in(segments: Array) -> Array:
    """The place of each token in its segment: (..., T) to (..., T)."""
    places = jnp.arange(segments.shape[-1])  # (T,)
    is_first = segments[..., 1:] != segments[..., :-1]  # (..., T - 1)
    is_first = jnp.concatenate([jnp.ones_like(is_first[..., :1]), is_first], axis=-1)
    starts = jax.lax.cummax(jnp.where(is_first, places, 0), axis=segments.ndim - 1)
    return places - starts


def init_params(config: GPT2Config, seed: int) -> Params:
    model = GPT2(config, jax.lax.dot_general, nnx.Rngs(seed))
    return nnx.to_pure_dict(nnx.state(model))


@cache  # tracing gpt2-xl takes 3 s
def shape_params(config: GPT2Config) -> Params:
    """`init_params` with a ShapeDtypeStruct for each array. Shared: never change it."""
    shapes: Params = jax.eval_shape(partial(init_params, config, 0))
    return shapes


def logits_function(
    config: GPT2Config,
    dot_general: DotGeneral,
    adapter: AdapterConfig | None = None,
    remat: str = "none",
) -> LogitsFunction:
    """The model as a function of parameters and tokens, (..., T) to (..., T, V).

    With `adapter`, its parameters are beside those of the layers that it changes.
    `remat` is one of `layers.remat.REMAT`.
    """
    model = nnx.eval_shape(
        lambda: GPT2(config, dot_general, nnx.Rngs(0), adapter, remat)
    )
    graph = nnx.graphdef(model)

    def logits(
        params: Params,
        tokens: ArrayLike,
        segments: ArrayLike | None = None,
        key: Array | None = None,
    ) -> Array:
        out: Array = nnx.merge(graph, params)(tokens, segments, key)
        return out

    return logits
