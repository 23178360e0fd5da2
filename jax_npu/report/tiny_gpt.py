"""A GPT of one block in plain JAX, to train for a few steps on any backend."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jax_npu

LEARNING_RATE = 0.1  # for plain gradient descent

Parameters = dict[str, Any]  # float32 arrays by name


@dataclass(frozen=True)
class GptSizes:
    vocabulary: int = 64
    width: int = 64
    heads: int = 2
    batch: int = 4
    length: int = 32


def losses(backend: str, sizes: GptSizes, steps: int) -> list[float]:
    """The loss before each of `steps` steps on one batch, every matmul on `backend`."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, sizes.vocabulary, (sizes.batch, sizes.length + 1))
    parameters = _parameters(random, sizes)

    @jax.jit
    def step(parameters: Parameters) -> tuple[Parameters, jax.Array]:
        loss, gradient = jax.value_and_grad(_loss)(parameters, tokens, sizes, backend)
        moved = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradient)
        return moved, loss

    found = []
    for _ in range(steps):
        parameters, loss = step(parameters)
        found.append(float(loss))
    return found


def _parameters(random: np.random.Generator, sizes: GptSizes) -> Parameters:
    v, d = sizes.vocabulary, sizes.width
    shapes = {
        "tokens": (v, d),
        "positions": (sizes.length, d),
        "qkv": (d, 3 * d),
        "out": (d, d),
        "up": (d, 4 * d),
        "down": (4 * d, d),
        "head": (d, v),
    }
    return {
        name: (random.normal(size=shape) / shape[0] ** 0.5).astype(np.float32)
        for name, shape in shapes.items()
    }


def _loss(
    parameters: Parameters, tokens: np.ndarray, sizes: GptSizes, backend: str
) -> jax.Array:
    p, inputs, targets = parameters, tokens[:, :-1], tokens[:, 1:]
    matmul = partial(jax_npu.matmul, backend=backend)
    x = p["tokens"][inputs] + p["positions"]  # (b, t, d)
    x = x + matmul(_attention(matmul(_norm(x), p["qkv"]), sizes, backend), p["out"])
    x = x + matmul(jax.nn.gelu(matmul(_norm(x), p["up"])), p["down"])
    logits = matmul(_norm(x), p["head"])  # (b, t, v)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)
    return -jnp.mean(chosen)


def _norm(x: jax.Array) -> jax.Array:
    return jax.nn.standardize(x)


def _attention(qkv: jax.Array, sizes: GptSizes, backend: str) -> jax.Array:
    einsum = partial(jax_npu.einsum, backend=backend)
    split = (sizes.batch, sizes.length, sizes.heads, -1)
    # (b, t, 3 d) to three of (b, t, heads, d / heads)
    q, k, v = (part.reshape(split) for part in jnp.split(qkv, 3, axis=-1))
    scores = einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    past = jnp.tri(sizes.length, dtype=bool)  # a query sees no later key
    weights = jax.nn.softmax(jnp.where(past, scores, -jnp.inf))
    mixed = einsum("bhqk,bkhd->bqhd", weights, v)
    return mixed.reshape(sizes.batch, sizes.length, sizes.width)
