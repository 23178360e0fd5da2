"""The optimizer: decay, the schedule, clipping, and optax's AdamW beside ours."""

import math

import jax
import numpy as np
import pytest

from gpt2_flax.model import init_params, logits_function
from gpt2_flax.training.optimizer import (
    decayed,
    make_optaxs_optimizer,
    make_optimizer,
    make_schedule,
)
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


def test_schedule_warms_up_linearly_then_follows_a_cosine():
    schedule = make_schedule(1.0, warmup_steps=4, steps=14)
    assert [float(schedule(i)) for i in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    for i in range(4, 15):
        cosine = 0.5 * (1 + math.cos(math.pi * (i - 4) / 10))
        assert float(schedule(i)) == pytest.approx(0.1 + 0.9 * cosine, abs=1e-6)


@pytest.mark.parametrize("warmup_steps", [0, 1, 50])
def test_any_warm_up_gives_finite_positive_rates(warmup_steps):
    schedule = make_schedule(1e-3, warmup_steps, steps=20)
    rates = [float(schedule(i)) for i in range(20)]
    assert all(0 < rate <= 1e-3 * (1 + 1e-6) for rate in rates)


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
