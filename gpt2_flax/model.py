"""GPT-2 in Flax NNX, every matrix product through the `dot_general` it is given.

Operands are passed as they lie: attention batches over H of (..., T, H, D) operands and
the output projection contracts (H, D) of (..., H, T, D), so no call site transposes.

Shapes: ... is a batch dimension or none, T tokens (S tokens that they attend to),
H heads of D channels each, C = H D channels, V the size of the vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from gpt2_flax.errors import InputError

DotGeneral = Callable[..., Array]  # with lax.dot_general's signature
Params = dict[str, Any]
LogitsFunction = Callable[[Params, ArrayLike], Array]

SEEDS = range(2**63)  # accepted by jax.random.key and NumPy alike
INIT_STDDEV = 0.02  # GPT-2 paper, section 2.3, and OpenAI's released code
# Queries that attend at a time. The scores of a block, (H, 256, S), stay in the caches,
# and none is computed for keys after the block, which the causal mask would hide.
QUERIES = 256
ACTIVATIONS: dict[str, DTypeLike] = {"f32": jnp.float32, "bf16": jnp.bfloat16}


@dataclass(frozen=True)
class GPT2Config:
    num_layers: int
    num_heads: int
    embed_dim: int  # must be a multiple of num_heads
    vocab_size: int = 50257  # 256 bytes + 50,000 merges + <|endoftext|>
    num_positions: int = 1024  # one learned position each; the longest sequence
    norm_eps: float = 1e-5  # LayerNorm's epsilon, as in the released checkpoints
    activations: str = "f32"  # or bf16: type of what products write for one another
    tied_head: bool = True  # True: the embedding is the matrix of the logits as well

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_heads, self.embed_dim) < 1:
            raise InputError(
                "a model needs at least one layer, one head and one channel, got "
                f"{self.num_layers}, {self.num_heads} and {self.embed_dim}."
            )
        if self.embed_dim % self.num_heads:
            raise InputError(
                "heads share the channels equally: --embed-dim "
                f"{self.embed_dim} is not a multiple of --num-heads {self.num_heads}."
            )
        if self.activations not in ACTIVATIONS:
            raise InputError(
                f"--activations must be one of {', '.join(ACTIVATIONS)}, got "
                f"{self.activations}."
            )

    @property
    def dtype(self) -> DTypeLike:
        """Type of activations; the residual stream, softmax and logits are always f32.

        In bf16, the residual sum of 2 x num_layers terms would lose the small ones, and
        a logit above 8 has steps of 1/16.
        """
        return ACTIVATIONS[self.activations]


MODELS = {
    "mini": GPT2Config(num_layers=4, num_heads=4, embed_dim=64, num_positions=256),
    "gpt2": GPT2Config(num_layers=12, num_heads=12, embed_dim=768),
    "gpt2-medium": GPT2Config(num_layers=24, num_heads=16, embed_dim=1024),
    "gpt2-large": GPT2Config(num_layers=36, num_heads=20, embed_dim=1280),
    "gpt2-xl": GPT2Config(num_layers=48, num_heads=25, embed_dim=1600),
}


@jax.custom_jvp
def softmax(scores: Array) -> Array:
    """Softmax over the last dimension, (..., S) to (..., S).

    It has its own derivative: jax.nn.softmax's divides by squared sums, for which
    XLA:CPU writes out intermediate arrays as large as the scores.
    """
    return jax.nn.softmax(scores)


@softmax.defjvp
def softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # dp = p ds - p sum(p ds), with p the weights, s the scores and the sum over S
    weights = softmax(*primals)  # (..., S)
    weighted = weights * tangents[0]
    return weights, weighted - weights * weighted.sum(axis=-1, keepdims=True)


class Attention(nnx.Module):
    def __init__(self, config: GPT2Config, dot_general: DotGeneral, rngs: nnx.Rngs):
        self.num_heads = config.num_heads
        self.head_dim = config.embed_dim // config.num_heads
        self.dot_general = dot_general
        self.dtype = config.dtype
        self.qkv = nnx.Linear(
            config.embed_dim,
            3 * config.embed_dim,
            kernel_init=nnx.initializers.normal(INIT_STDDEV),
            dot_general=dot_general,
            promote_dtype=as_they_are,
            preferred_element_type=config.dtype,
            rngs=rngs,
        )
        self.proj = nnx.LinearGeneral(
            (self.num_heads, self.head_dim),
            config.embed_dim,
            axis=(-3, -1),  # the (H, D) of (..., H, T, D)
            kernel_init=residual_init(config),
            dot_general=dot_general,
            promote_dtype=as_they_are,
            preferred_element_type=jnp.float32,
            rngs=rngs,
        )

    def __call__(self, x: Array) -> Array:
        """Causal self-attention of x (..., T, C) to (..., T, C)."""
        t = x.shape[-2]
        q, k, v = self.heads(x)  # (..., T, H, D)
        contexts = []
        for start in range(0, t, QUERIES):
            end = min(start + QUERIES, t)
            before = np.s_[..., :end, :, :]  # the block itself and all before it
            contexts.append(self.attend(q[..., start:end, :, :], k[before], v[before]))
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

    def attend(
        self, q: Array, k: Array, v: Array, visible: Array | None = None
    ) -> Array:
        """softmax(q k^T / sqrt(D)) v, over the keys that are visible to each query.

        q is (..., T, H, D), k and v are (..., S, H, D), the result is (..., H, T, D).
        `visible` is (T, S), by default causal: queries are the last T of S tokens.
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
        if visible is None:  # query i is token s - t + i, and sees keys up to that
            t, s = scores.shape[-2:]
            visible = jnp.tril(jnp.ones((t, s), bool), s - t)  # (T, S)
        scores = jnp.where(visible, scores / self.head_dim**0.5, -jnp.inf)
        weights = softmax(scores).astype(self.dtype)  # (..., H, T, S)
        *batch, head, _, key = range(weights.ndim)
        # weights v: (..., H, T, S) x (..., S, H, D) -> (..., H, T, D)
        return self.dot_general(
            weights,
            v,
            (((key,), (token,)), ((*batch, head), each_head)),
            preferred_element_type=self.dtype,
        )


class MLP(nnx.Module):
    def __init__(self, config: GPT2Config, dot_general: DotGeneral, rngs: nnx.Rngs):
        self.dtype = config.dtype
        self.fc = nnx.Linear(
            config.embed_dim,
            4 * config.embed_dim,
            kernel_init=nnx.initializers.normal(INIT_STDDEV),
            dot_general=dot_general,
            promote_dtype=as_they_are,
            preferred_element_type=config.dtype,
            rngs=rngs,
        )
        self.proj = nnx.Linear(
            4 * config.embed_dim,
            config.embed_dim,
            kernel_init=residual_init(config),
            dot_general=dot_general,
            promote_dtype=as_they_are,
            preferred_element_type=jnp.float32,
            rngs=rngs,
        )

    def __call__(self, x: Array) -> Array:
        # approximate: the tanh formula, which Hugging Face calls "gelu_new"
        hidden = jax.nn.gelu(self.fc(x), approximate=True)  # (..., T, 4 C)
        return self.proj(hidden.astype(self.dtype))  # (..., T, C)


class Block(nnx.Module):
    def __init__(self, config: GPT2Config, dot_general: DotGeneral, rngs: nnx.Rngs):
        self.dtype = config.dtype
        self.norm_1 = nnx.LayerNorm(
            config.embed_dim, epsilon=config.norm_eps, rngs=rngs
        )
        self.attention = Attention(config, dot_general, rngs)
        self.norm_2 = nnx.LayerNorm(
            config.embed_dim, epsilon=config.norm_eps, rngs=rngs
        )
        self.mlp = MLP(config, dot_general, rngs)

    def __call__(self, x: Array) -> Array:
        # x is the residual stream, (..., T, C) in f32.
        x = x + self.attention(self.norm_1(x).astype(self.dtype))
        return x + self.mlp(self.norm_2(x).astype(self.dtype))


class GPT2(nnx.Module):
    def __init__(self, config: GPT2Config, dot_general: DotGeneral, rngs: nnx.Rngs):
        init = nnx.initializers.normal(INIT_STDDEV)
        v, p, c = config.vocab_size, config.num_positions, config.embed_dim
        self.dot_general = dot_general
        self.dtype = config.dtype
        self.tokens = nnx.Embed(v, c, embedding_init=init, rngs=rngs)
        self.positions = nnx.Embed(p, c, embedding_init=init, rngs=rngs)
        self.blocks = nnx.List(
            [Block(config, dot_general, rngs) for _ in range(config.num_layers)]
        )
        self.norm = nnx.LayerNorm(c, epsilon=config.norm_eps, rngs=rngs)
        if not config.tied_head:
            self.head = nnx.Embed(v, c, embedding_init=init, rngs=rngs)
        self.tied_head = config.tied_head

    def __call__(self, tokens: Array) -> Array:
        """Token ids (..., T), T <= num_positions, to logits (..., T, V)."""
        x = self.embed(tokens, jnp.arange(tokens.shape[-1]))  # (..., T, C)
        for block in self.blocks:
            x = block(x)
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


def as_they_are(operands: Any, /, *, dtype: Any = None, inexact: bool = True) -> Any:
    """Replaces flax's promote_dtype, which would convert bf16 activations to f32.

    The products here take two operands of different types.
    """
    return operands


def residual_init(config: GPT2Config) -> nnx.Initializer:
    """Normal(0, 0.02 / sqrt(n)), where n layers add to the residual stream.

    Each block has two of them. Source: GPT-2 paper, section 2.3.
    """
    return nnx.initializers.normal(INIT_STDDEV / (2 * config.num_layers) ** 0.5)


def init_params(config: GPT2Config, seed: int) -> Params:
    model = GPT2(config, jax.lax.dot_general, nnx.Rngs(seed))
    return nnx.to_pure_dict(nnx.state(model))


@cache  # tracing gpt2-xl takes 3 s
def shape_params(config: GPT2Config) -> Params:
    """`init_params` with a ShapeDtypeStruct for each array. Shared: never change it."""
    shapes: Params = jax.eval_shape(partial(init_params, config, 0))
    return shapes


def logits_function(config: GPT2Config, dot_general: DotGeneral) -> LogitsFunction:
    """The model as a function of parameters and tokens, (..., T) to (..., T, V)."""
    model = nnx.eval_shape(lambda: GPT2(config, dot_general, nnx.Rngs(0)))
    graph = nnx.graphdef(model)
    return lambda params, tokens: nnx.merge(graph, params)(tokens)
