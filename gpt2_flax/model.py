"""GPT-2 in Flax NNX, every matrix product through the `dot_general` it is given.

Operands are passed as they lie: attention batches over H of (..., T, H, D) operands and
the output projection contracts (H, D) of (..., H, T, D), so no call site transposes.
Without a batch, shapes have no dimension for it.
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

SEEDS = range(2**63)  # that jax.random.key and NumPy take alike
INIT_STDDEV = 0.02  # GPT-2 paper, section 2.3, and OpenAI's released code
# Attended at a time: scores stay in the caches, and none is computed of later blocks.
QUERIES = 256
ACTIVATIONS = {"f32": jnp.float32, "bf16": jnp.bfloat16}


@dataclass(frozen=True)
class GPT2Config:
    num_layers: int
    num_heads: int
    embed_dim: int  # must be a multiple of num_heads
    vocab_size: int = 50257  # 256 bytes + 50,000 merges + <|endoftext|>
    num_positions: int = 1024  # one learned position each; the longest sequence
    norm_eps: float = 1e-5  # LayerNorm's, as in the released checkpoints
    activations: str = "f32"  # or bf16: what a product reads, and writes for another
    tied_head: bool = True  # False: logits by a matrix of their own, not the embedding

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_heads, self.embed_dim) < 1:
            raise InputError(
                "a model needs at least one layer, one head and one channel, got "
                f"{self.num_layers}, {self.num_heads} and {self.embed_dim}."
            )
        if self.embed_dim % self.num_heads:
            raise InputError(
                f"heads share the channels equally: --embed-dim {self.embed_dim} is no "
                f"multiple of --num-heads {self.num_heads}."
            )
        if self.activations not in ACTIVATIONS:
            raise InputError(
                f"--activations must be one of {', '.join(ACTIVATIONS)}, got "
                f"{self.activations}."
            )

    @property
    def dtype(self) -> DTypeLike:
        """Of activations. The residual stream, softmax and logits are f32 always.

        In bf16, a sum of 2 x num_layers terms would lose the small ones, and a logit
        above 8 has steps of 1/16.
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
    """Over the last dimension, (..., S) to (..., S).

    The derivative is a rule: of jax.nn.softmax's, which divides by squared sums,
    XLA:CPU writes out parts as large as the scores.
    """
    return jax.nn.softmax(scores)


@softmax.defjvp
def softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    weights = softmax(*primals)
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
        *batch, t, _ = x.shape
        # Of jnp.split, unlike of slices, the gradient is written once.
        q, k, v = (
            part.reshape(*batch, t, self.num_heads, self.head_dim)
            for part in jnp.split(self.qkv(x).astype(self.dtype), 3, axis=-1)
        )
        contexts = []
        for start in range(0, t, QUERIES):
            end = min(start + QUERIES, t)
            before = np.s_[..., :end, :, :]
            contexts.append(self.attend(q[..., start:end, :, :], k[before], v[before]))
        return self.proj(jnp.concatenate(contexts, axis=-2))  # -> (..., T, C)

    def attend(self, q: Array, k: Array, v: Array) -> Array:
        """The last T of S tokens, (..., T, H, D), to what came before, (..., S, H, D).

        Returns (..., H, T, D).
        """
        *batch, token, head, channel = range(q.ndim)
        each_head = (*batch, head)
        scores = self.dot_general(
            q,
            k,
            (((channel,), (channel,)), (each_head, each_head)),
            preferred_element_type=jnp.float32,
        )  # (..., H, T, S)
        t, s = scores.shape[-2:]
        causal = jnp.tril(jnp.ones((t, s), bool), s - t)
        scores = jnp.where(causal, scores / self.head_dim**0.5, -jnp.inf)
        weights = softmax(scores).astype(self.dtype)
        *batch, head, _, key = range(weights.ndim)
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
        hidden = jax.nn.gelu(self.fc(x), approximate=True)  # "gelu_new"
        return self.proj(hidden.astype(self.dtype))


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
        x = self.tokens(tokens) + self.positions(jnp.arange(tokens.shape[-1]))
        for block in self.blocks:
            x = block(x)
        # The head contracts C of (..., T, C), (V, C): Embed.attend transposes.
        head = (self.tokens if self.tied_head else self.head).embedding[...]
        return self.dot_general(
            self.norm(x).astype(self.dtype),
            head,
            (((x.ndim - 1,), (1,)), ((), ())),
            preferred_element_type=jnp.float32,
        )


def as_they_are(operands: Any, /, *, dtype: Any = None, inexact: bool = True) -> Any:
    """For flax's promote_dtype, which would copy bf16 activations to the weights' f32.

    A product takes operands of two types.
    """
    return operands


def residual_init(config: GPT2Config) -> nnx.Initializer:
    """Smaller by the root of how many layers add to the residual stream."""
    return nnx.initializers.normal(INIT_STDDEV / (2 * config.num_layers) ** 0.5)


def init_params(config: GPT2Config, seed: int) -> Params:
    model = GPT2(config, jax.lax.dot_general, nnx.Rngs(seed))
    return nnx.to_pure_dict(nnx.state(model))


@cache  # tracing gpt2-xl takes 3 s
def shape_params(config: GPT2Config) -> Params:
    """`init_params` with a ShapeDtypeStruct for every array; not to be changed."""
    return jax.eval_shape(partial(init_params, config, 0))


def logits_function(config: GPT2Config, dot_general: DotGeneral) -> LogitsFunction:
    """The model as a pure function of its parameters and tokens (..., T)."""
    model = nnx.eval_shape(lambda: GPT2(config, dot_general, nnx.Rngs(0)))
    graph = nnx.graphdef(model)
    return lambda params, tokens: nnx.merge(graph, params)(tokens)


def cross_entropy(logits: Array, targets: ArrayLike) -> Array:
    """Mean over (..., T) of -log softmax(logits)[target], in nats per token."""
    return token_losses(logits, targets).mean()


@jax.custom_jvp
def token_losses(logits: Array, targets: Array) -> Array:
    """Logits (..., V) and targets (...) to the loss of each token (...)."""
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - target_logits


@token_losses.defjvp
def token_losses_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Its gradient, softmax - onehot, from the logits in one pass.

    jax's own keeps the exponentials, as large as the logits, then scatters into them.
    """
    logits, targets = primals
    losses = token_losses(logits, targets)
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1)
    log_sum = losses[..., None] + target_logits
    is_target = jnp.arange(logits.shape[-1]) == targets[..., None]
    gradient = jnp.exp(logits - log_sum) - is_target
    return losses, (gradient * tangents[0]).sum(axis=-1)
