"""Programs of seven libraries, written as their users write them.

Each is a function of the number of steps that trains something small and returns its
losses, and a function and arguments that hold all of a step's products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from flax import nnx

VOCAB, LENGTH, WIDTH, HEADS = 32, 16, 32, 4


@dataclass
class Program:
    """A step, the state that it takes and returns with the loss, and its data."""

    step: Callable[..., Any]
    state: Any

    def losses(self, num_steps: int) -> np.ndarray:
        state, losses = self.state, []
        for _ in range(num_steps):
            state, loss = self.step(state)
            losses.append(float(loss))
        return np.array(losses)


def tokens() -> jax.Array:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.integers(0, VOCAB, (4, LENGTH + 1)), jnp.int32)


def next_token_loss(logits: jax.Array) -> jax.Array:
    labels = tokens()[:, 1:]
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean()


def with_optax(loss: Callable[[Any], jax.Array], params: Any) -> Program:
    optimizer = optax.adam(2e-3)

    @jax.jit
    def step(state):
        params, moments = state
        value, gradient = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return (optax.apply_updates(params, updates), moments), value

    return Program(step, (params, optimizer.init(params)))


class LinenTransformer(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        embed = nn.Embed(VOCAB, WIDTH)
        x = embed(tokens)
        mask = nn.make_causal_mask(tokens)
        for _ in range(2):
            x += nn.MultiHeadDotProductAttention(HEADS)(nn.LayerNorm()(x), mask=mask)
            hidden = nn.gelu(nn.Dense(4 * WIDTH)(nn.LayerNorm()(x)))
            x += nn.DenseGeneral(WIDTH)(hidden)
        return embed.attend(nn.LayerNorm()(x))


def flax_linen() -> Program:
    model = LinenTransformer()
    params = model.init(jax.random.key(0), tokens()[:, :-1])
    return with_optax(
        lambda params: next_token_loss(model.apply(params, tokens()[:, :-1])), params
    )


class NnxTransformer(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(VOCAB, WIDTH, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.up = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs)
        self.down = nnx.LoRALinear(4 * WIDTH, WIDTH, lora_rank=4, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens)
        x += self.attention(x, mask=nnx.make_causal_mask(tokens))
        x += self.down(jax.nn.gelu(self.up(self.norm(x))))
        return self.embed.attend(x)


def flax_nnx() -> Program:
    graph, params = nnx.split(NnxTransformer(nnx.Rngs(0)))

    def loss(params):
        return next_token_loss(nnx.merge(graph, params)(tokens()[:, :-1]))

    return with_optax(loss, params)


def equinox() -> Program:
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (LENGTH, WIDTH))
    model = (
        eqx.nn.MultiheadAttention(HEADS, WIDTH, key=keys[1]),
        eqx.nn.MLP(WIDTH, 1, 64, 2, key=keys[2]),
    )
    params, static = eqx.partition(model, eqx.is_array)

    def loss(params):
        attention, mlp = eqx.combine(params, static)
        return jnp.mean((jax.vmap(mlp)(attention(x, x, x)) - x[:, :1]) ** 2)

    return with_optax(loss, params)


def haiku() -> Program:
    def network(x):
        x += hk.MultiHeadAttention(HEADS, 8, w_init_scale=1.0, model_size=WIDTH)(
            x, x, x
        )
        return hk.nets.MLP([64, 64, 1])(x)

    model = hk.without_apply_rng(hk.transform(network))
    x = jax.random.normal(jax.random.key(0), (4, LENGTH, WIDTH))
    params = model.init(jax.random.key(1), x)
    return with_optax(
        lambda params: jnp.mean((model.apply(params, x) - x[..., :1]) ** 2), params
    )


def least_squares() -> Program:
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.standard_normal((64, 8)), jnp.float32)
    labels = features @ jnp.arange(8.0)

    def loss(params):
        return jnp.mean((features @ params - labels) ** 2)

    optimizer = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    @jax.jit
    def step(state):
        params, memory = state
        value, gradient = value_and_gradient(params, state=memory)
        updates, memory = optimizer.update(
            gradient, memory, params, value=value, grad=gradient, value_fn=loss
        )
        return (optax.apply_updates(params, updates), memory), value

    first = jnp.zeros(8)
    return Program(step, (first, optimizer.init(first)))


def recurrent() -> Program:
    rnn = nn.RNN(nn.OptimizedLSTMCell(WIDTH))
    x = jax.random.normal(jax.random.key(0), (4, LENGTH, WIDTH))
    params = rnn.init(jax.random.key(1), x)
    return with_optax(
        lambda params: jnp.mean((rnn.apply(params, x) - jnp.roll(x, 1, 1)) ** 2), params
    )


PROGRAMS = (flax_linen, flax_nnx, equinox, haiku, least_squares, recurrent)


def nuts_coefficients(num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a regression's coefficients by NUTS, and their true values."""
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.standard_normal((100, 3)), jnp.float32)
    truth = np.array([1.0, -2.0, 0.5], np.float32)
    labels = jnp.asarray(
        features @ truth + 0.01 * rng.standard_normal(100), jnp.float32
    )

    def model():
        weights = numpyro.sample("weights", dist.Normal(jnp.zeros(3), 3.0).to_event(1))
        numpyro.sample("labels", dist.Normal(features @ weights, 0.01), obs=labels)

    mcmc = numpyro.infer.MCMC(
        numpyro.infer.NUTS(model, max_tree_depth=5),
        num_warmup=num_samples,
        num_samples=num_samples,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0))
    return np.asarray(mcmc.get_samples()["weights"].mean(0)), truth
