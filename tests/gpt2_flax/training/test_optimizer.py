"""The optimizer: decay, clipping, and optax's AdamW beside ours."""

import jax
import numpy as np
import optax
import pytest

from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.training import OF_OPTAX
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.training.optimizer import (
    decayed,
    make_optaxs_optimizer,
    make_optimizer,
    optimizer_of,
)
from gpt2_flax.training.schedule import make_schedule
from gpt2_flax.training.step import initial_state, make_train_step

# Two f32 optimizers round differently, and in fifty steps what they do grows.
LOSS_ERROR = 1e-5


def test_only_matrices_decay(config):
    params = init_params(config, 0)
    mask = decayed(params)
    assert mask["tokens"]["embedding"]
    assert mask["positions"]["embedding"]
    block = mask["blocks"][0]
    for module in (*block["attention"].values(), *block["mlp"].values()):
        assert module == {"kernel": True, "bias": False}
    for norm in (block["norm_1"], block["norm_2"], mask["norm"]):
        assert norm == {"scale": False, "bias": False}


def test_without_a_gradient_matrices_shrink_and_vectors_stay(config):
    params = jax.tree.map(np.ones_like, init_params(config, 0))
    optimizer = make_optimizer(make_schedule(0.01, 0, 10), 0.5, 1.0)
    zeros = jax.tree.map(np.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    for path, update in jax.tree.leaves_with_path(updates):
        is_matrix = path[-1].key in ("kernel", "embedding")
        np.testing.assert_allclose(update, -0.01 * 0.5 * is_matrix, rtol=1e-6)


def test_long_gradients_are_shortened():
    optimizer = make_optimizer(make_schedule(0.1, 0, 10), 0.0, 1.0)
    params = {"kernel": np.zeros(2, np.float32)}
    state = optimizer.init(params)
    grads = [np.array([1e-3, 0]), np.array([3e6, 4e6])]
    for grad in grads:
        _, state = optimizer.update({"kernel": grad.astype(np.float32)}, state, params)
    first_moment = jax.tree.leaves(state[1][0].mu)[0]
    expected = 0.9 * 0.1 * grads[0] + 0.1 * np.array([0.6, 0.8])
    np.testing.assert_allclose(first_moment, expected, rtol=1e-5)


def test_fifty_losses_of_both_optimizers_are_alike(config, tokens):
    rng = np.random.default_rng(1)
    batches = rng.integers(0, config.vocab_size, (50, *tokens.shape))
    schedule, losses = make_schedule(3e-3, 5, 50), {}
    for make in (make_optimizer, make_optaxs_optimizer):
        optimizer = make(schedule, 0.1, 1.0)
        step = make_train_step(logits_function(config, jax.lax.dot_general), optimizer)
        state, losses[make] = initial_state(init_params(config, 0), optimizer), []
        for batch in batches:
            state, loss, _ = step(state, batch)
            losses[make].append(float(loss))
    fused, optaxs = losses.values()
    assert min(optaxs) < 0.99 * optaxs[0]
    np.testing.assert_allclose(fused, optaxs, rtol=LOSS_ERROR)


# The largest rate that each needs to get anywhere in a few steps of a small problem.
RATES = {"adadelta": 50.0, "adafactor": 0.3, "lars": 30.0, "novograd": 0.3}


@pytest.mark.parametrize("name", OF_OPTAX)
def test_every_optimizer_of_optax_fits_a_plane(name):
    rng = np.random.default_rng(0)
    params = {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)}
    params = {key: value.astype(np.float32) for key, value in params.items()}
    x, y = rng.normal(size=(64, 4)), rng.normal(size=(64, 3))

    def loss(params):
        return ((x @ params["kernel"] + params["bias"] - y) ** 2).mean()

    config = TrainConfig(
        optimizer=name, steps=40, lr=RATES.get(name, 0.1), weight_decay=0.01
    )
    optimizer = optimizer_of(config)

    @jax.jit
    def train(params):
        def step(_, carry):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        return jax.lax.fori_loop(0, 40, step, (params, optimizer.init(params)))[0]

    best = np.linalg.lstsq(np.c_[x, np.ones(64)], y, rcond=None)[1].sum() / (64 * 3)
    start, end = loss(params) - best, loss(train(params)) - best
    assert end < 0.5 * start


def test_a_decay_that_an_optimizer_lacks_is_in_its_gradient():
    """As in PyTorch: sgd without a gradient shrinks a matrix by lr x decay."""
    params = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    config = TrainConfig(
        optimizer="sgd", lr=0.5, schedule="constant", warmup_steps=0, weight_decay=0.1
    )
    optimizer = optimizer_of(config)
    zeros = jax.tree.map(np.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_the_betas_are_those_of_the_flags():
    params = {"kernel": np.zeros(2, np.float32)}
    for name in ("fused", "optax", "adamw"):
        optimizer = optimizer_of(TrainConfig(optimizer=name, beta1=0.5, beta2=0.75))
        grads = {"kernel": np.array([0.25, 0.5], np.float32)}
        _, state = optimizer.update(grads, optimizer.init(params), params)
        moments = optax.tree.get(state, "mu"), optax.tree.get(state, "nu")
        np.testing.assert_allclose(moments[0]["kernel"], [0.125, 0.25])
        np.testing.assert_allclose(moments[1]["kernel"], [0.015625, 0.0625])
