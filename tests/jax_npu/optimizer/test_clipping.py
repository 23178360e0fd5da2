"""Clipping by one factor, against optax's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_npu.optimizer.clipping import clip_by_global_norm


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


def test_gradients_of_another_type_keep_it():
    grads = {"a": jnp.full(3, 5, jnp.bfloat16)}
    clipped, _ = clip_by_global_norm(1.0).update(grads, optax.EmptyState())
    assert clipped["a"].dtype == jnp.bfloat16
