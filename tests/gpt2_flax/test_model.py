"""The model: shapes, causality, initial weights, and its own derivatives."""

import re
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.layers import attention
from gpt2_flax.layers.softmax import softmax
from gpt2_flax.model import (
    MODELS,
    GPT2Config,
    init_params,
    logits_function,
    shape_params,
)
from gpt2_flax.training.loss import cross_entropy
from gpt2_flax.training.step import token_loss

from ..emitters import AS_USERS_HAVE_THEM

F32_ERROR = 1e-5
# Relative error of logits after 3 layers with some 10 roundings of 2^-10 (root mean
# square) each, and of a derivative; test_truth.py counts the roundings.
BF16_ERROR = 1.2e-2


def test_logits_are_one_vector_of_the_vocabulary_a_token(config, tokens, backend):
    logits = logits_function(config, jax_npu.dot_general)
    out = jax.eval_shape(logits, init_params(config, 0), tokens)
    assert out.shape == (3, 18, 307)


@pytest.mark.parametrize("changed", [0, 7, 17])
def test_a_token_changes_no_logits_before_it(config, tokens, backend, changed):
    logits = jax.jit(logits_function(config, jax_npu.dot_general))
    params = init_params(config, 0)
    other = tokens.copy()
    other[:, changed] = (tokens[:, changed] + 1) % config.vocab_size
    before, after = logits(params, tokens), logits(params, other)
    np.testing.assert_array_equal(before[:, :changed], after[:, :changed])
    assert np.all(np.any(before[:, changed:] != after[:, changed:], axis=-1))


@pytest.mark.parametrize(
    ("name", "num_params"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_published_sizes_have_the_published_number_of_parameters(name, num_params):
    leaves = jax.tree.leaves(shape_params(MODELS[name]))
    assert sum(leaf.size for leaf in leaves) == num_params


def test_initial_weights_have_gpt2s_scale():
    config = GPT2Config(num_layers=8, num_heads=2, embed_dim=128)
    params = init_params(config, 0)
    block = params["blocks"][5]
    for plain in (params["tokens"]["embedding"], block["attention"]["qkv"]["kernel"]):
        assert np.std(plain) == pytest.approx(0.02, rel=0.02)
    for residual in (block["attention"]["proj"], block["mlp"]["proj"]):
        assert np.std(residual["kernel"]) == pytest.approx(0.02 / 4, rel=0.02)
        assert not np.any(residual["bias"])


def test_initial_weights_follow_the_seed(config):
    first, again, other = (init_params(config, seed) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.any(first["tokens"]["embedding"] != other["tokens"]["embedding"])


def test_heads_must_share_the_channels_equally():
    with pytest.raises(InputError, match="30 is not a multiple of --num-heads 4"):
        GPT2Config(num_layers=1, num_heads=4, embed_dim=30)


@pytest.mark.parametrize("name", ["num_layers", "num_heads", "embed_dim"])
def test_sizes_below_one_are_refused(name):
    sizes = {"num_layers": 1, "num_heads": 1, "embed_dim": 1, name: 0}
    with pytest.raises(InputError, match="at least one"):
        GPT2Config(**sizes)


def test_attention_in_blocks_of_queries_is_attention(
    config, tokens, backend, monkeypatch
):
    params = init_params(config, 0)

    def loss_and_gradient():
        logits = logits_function(config, jax_npu.dot_general)
        loss = partial(token_loss, tokens=tokens, logits=logits)
        return jax.tree.leaves(jax.jit(jax.value_and_grad(loss))(params))

    whole = loss_and_gradient()
    monkeypatch.setattr(attention, "QUERIES", 5)  # does not divide the 17 tokens
    in_blocks = loss_and_gradient()
    error = F32_ERROR if backend == "xla" else BF16_ERROR
    for actual, expected in zip(in_blocks, whole, strict=True):
        size = np.abs(expected).max() + 1e-6
        np.testing.assert_allclose(actual, expected, rtol=0, atol=error * size)


def test_one_text_computes_as_in_a_batch_and_without_its_dimension(
    config, tokens, backend
):
    logits = logits_function(config, jax_npu.dot_general)
    gradient = jax.jit(jax.value_and_grad(partial(token_loss, logits=logits)))
    params = init_params(config, 0)
    one, twice = tokens[:1], np.repeat(tokens[:1], 2, axis=0)
    pairs = zip(
        jax.tree.leaves(gradient(params, one)),
        jax.tree.leaves(gradient(params, twice)),
        strict=True,
    )
    for actual, expected in pairs:
        size = np.abs(expected).max() + 1e-6
        np.testing.assert_allclose(actual, expected, rtol=0, atol=F32_ERROR * size)
    program = gradient.lower(params, one).compile(AS_USERS_HAVE_THEM).as_text()
    assert not re.search(r"f32\[1,\d", program)


@pytest.mark.parametrize("causal", [False, True])
def test_softmax_and_its_derivatives_are_jax_softmax(causal):
    rng = np.random.default_rng(2)
    scores, direction, weights = rng.standard_normal((3, 2, 3, 7, 7), np.float32)
    if causal:
        scores = np.where(np.tri(7, dtype=bool), 4 * scores, -np.inf)
        direction = np.where(np.tri(7, dtype=bool), direction, 0)

    def derivatives(softmax):
        gradient = jax.grad(lambda x: (softmax(x) * weights).sum())
        along = (scores,), (direction,)
        return softmax(scores), gradient(scores), *jax.jvp(gradient, *along)

    pairs = zip(derivatives(softmax), derivatives(jax.nn.softmax), strict=True)
    for actual, expected in pairs:
        np.testing.assert_allclose(actual, expected, rtol=F32_ERROR, atol=F32_ERROR)


def random_logits(shape=(3, 5, 307)):
    rng = np.random.default_rng(1)
    logits = rng.standard_normal(shape, np.float32) * 4
    return logits, rng.integers(0, shape[-1], shape[:-1])


def reference_loss(logits, targets):
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    return losses.mean()


def test_loss_and_its_derivatives_are_optax_cross_entropy():
    logits, targets = random_logits()
    direction = random_logits()[0][::-1].copy()

    def derivatives(loss):
        gradient = jax.grad(loss)
        along = (logits,), (direction,)
        second = jax.jvp(lambda x: gradient(x, targets), *along)[1]
        forward = jax.jvp(lambda x: loss(x, targets), *along)[1]
        return loss(logits, targets), gradient(logits, targets), forward, second

    pairs = zip(derivatives(cross_entropy), derivatives(reference_loss), strict=True)
    for actual, expected in pairs:
        np.testing.assert_allclose(actual, expected, rtol=F32_ERROR, atol=F32_ERROR)


def test_loss_of_a_target_of_no_probability_is_finite():
    logits = np.array([[0.0, 200.0]], np.float32)
    loss, gradient = jax.value_and_grad(cross_entropy)(logits, np.array([0]))
    assert loss == 200
    np.testing.assert_array_equal(gradient, [[-1, 1]])


def test_forward_mode_agrees_with_the_gradient(config, tokens, backend):
    logits = logits_function(config, jax_npu.dot_general)
    params = init_params(config, 0)
    direction = init_params(config, 1)
    loss = partial(token_loss, tokens=tokens, logits=logits)
    forward = jax.jit(lambda *at: jax.jvp(loss, at[:1], at[1:])[1])(params, direction)
    gradient = jax.jit(jax.grad(loss))(params)
    products = [
        np.vdot(g, d)
        for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction))
    ]
    error = F32_ERROR if backend == "xla" else BF16_ERROR
    mass = sum(map(abs, products))
    np.testing.assert_allclose(forward, sum(products), rtol=0, atol=error * mass)


def test_bf16_activations_leave_gradients_and_logits_f32(config, tokens, backend):
    bf16 = replace(config, activations="bf16")
    logits = logits_function(bf16, jax_npu.dot_general)
    params = init_params(config, 0)
    assert jax.eval_shape(logits, params, tokens).dtype == jnp.float32
    loss = partial(token_loss, tokens=tokens, logits=logits)
    gradient = jax.eval_shape(jax.grad(loss), params)
    assert {g.dtype for g in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}


def test_bf16_activations_change_logits_by_their_rounding(config, tokens, backend):
    params = init_params(config, 0)
    f32, bf16 = (
        logits_function(shape, jax_npu.dot_general)(params, tokens)
        for shape in (config, replace(config, activations="bf16"))
    )
    error = np.linalg.norm(bf16 - f32) / np.linalg.norm(f32)
    assert 0 < error < BF16_ERROR


def test_unknown_activations_are_refused(config):
    with pytest.raises(InputError, match="one of f32, bf16, got f16"):
        replace(config, activations="f16")
