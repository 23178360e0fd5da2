"""The optimizer: decay, the schedule, and clipping as optax does it."""

import math

import jax
import numpy as np
import optax
import pytest

from gpt2_flax.model import init_params
from gpt2_flax.training.optimizer import (
    clip_by_global_norm,
    decayed,
    make_optimizer,
    make_schedule,
)


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


@pytest.mark.parametrize("norm", [0.0, 0.3, 1.0, 7.0])
def test_clipping_is_optaxs(norm):
    direction = {"a": np.array([0.6, 0.0], np.float32), "b": np.float32(-0.8)}
    grads = jax.tree.map(lambda x: np.float32(norm) * x, direction)
    ours, theirs = clip_by_global_norm(1.0), optax.clip_by_global_norm(1.0)
    actual, state = ours.update(grads, ours.init(grads))
    expected, their_state = theirs.update(grads, theirs.init(grads))
    compare = np.testing.assert_array_equal if norm < 1 else np.testing.assert_allclose
    jax.tree.map(lambda x, y: compare(x, y), actual, expected)
    assert state == their_state  # so that checkpoints are alike


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_hides_no_gradient_that_is_not_finite(bad):
    optimizer = clip_by_global_norm(1.0)
    grads = {"a": np.array([1, bad], np.float32)}
    clipped, _ = optimizer.update(grads, optimizer.init(grads))
    assert np.isnan(clipped["a"][1])
