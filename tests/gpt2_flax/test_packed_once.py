"""A training step packs each of its values once for the NPU, however many products
read it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from gpt2_flax.model import GPT2Config, init_params, logits_function
from jax_npu.runtime.environment import IMAGE_CACHE_MB

# X, W and dY of four linear layers and of two products of attention, in each block.
VALUES_OF_BLOCK = 3 * (4 + 2)
VALUES_OF_HEAD = 3
USES = 2  # X is read by forward and dW, W by forward and dX, dY by dX and dW
TINY = GPT2Config(num_layers=2, num_heads=2, embed_dim=32, vocab_size=96)
# One block of GPT-2 124M, with its head.
WIDE = GPT2Config(num_layers=1, num_heads=12, embed_dim=768)

needs_sim = pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)


@pytest.fixture
def step_of(monkeypatch):
    """A function that runs a model's step on `sim`: its results, and the counts."""

    def step_of(config, shape, cache_mb):
        monkeypatch.setenv(IMAGE_CACHE_MB.name, cache_mb)
        logits_of = logits_function(config, jax_npu.dot_general)
        tokens = np.random.default_rng(0).integers(config.vocab_size, size=shape)

        def loss(params):
            scores = jax.nn.log_softmax(logits_of(params, tokens))
            return -jnp.take_along_axis(scores, tokens[..., None], axis=-1).mean()

        with jax_npu.backend("sim"):
            step = jax.jit(jax.value_and_grad(loss))
            before = jax_npu.counters()
            results = jax.block_until_ready(step(init_params(config, 0)))
        return jax.tree.leaves(results), jax_npu.counters() - before

    return step_of


def num_values(config):
    return config.num_layers * VALUES_OF_BLOCK + VALUES_OF_HEAD


@needs_sim
@pytest.mark.parametrize("activations", ["f32", "bf16"])
@pytest.mark.parametrize("tied_head", [True, False])
def test_each_value_of_a_step_is_packed_once(step_of, activations, tied_head):
    config = GPT2Config(2, 2, 32, 96, activations=activations, tied_head=tied_head)
    _, counts = step_of(config, (2, 16), "512")
    num_uses = USES * num_values(config)
    assert num_uses == 2 * counts.calls
    assert counts.packed_images == num_values(config)
    assert counts.reused_images == num_uses - num_values(config)


@needs_sim
def test_reused_images_give_the_bits_of_new_ones(step_of):
    once, reused = step_of(TINY, (2, 16), "512")
    again, packed = step_of(TINY, (2, 16), "0")
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (packed.reused_images, packed.reused_bytes) == (0, 0)
    assert packed.packed_bytes == reused.packed_bytes + reused.reused_bytes


@needs_sim
def test_images_that_do_not_fit_are_packed_again(step_of):
    once, _ = step_of(TINY, (2, 16), "512")
    results, counts = step_of(TINY, (2, 16), "0.3")  # of 2 MB
    assert num_values(TINY) < counts.packed_images < USES * num_values(TINY)
    for one, other in zip(once, results, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_sim
@pytest.mark.slow
def test_each_value_of_gpt2_124m_is_packed_once(step_of):
    """The tied head has 50,257 rows, padded alike in all of its products."""
    _, counts = step_of(WIDE, (4, 64), "512")
    assert counts.packed_images == counts.reused_images == num_values(WIDE)
