"""bf16 images of weights in a run's state: results stay, and products read them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.step import initial_state, make_train_step, saved_items
from gpt2_flax.training.weight_images import has_images

CONFIG = TrainConfig(lr=3e-3, warmup_steps=2, steps=50)


@pytest.fixture
def train(config, tokens):
    """The losses of some steps and the last state, from `change` of the first one."""

    def take(steps, with_images, remat="none", change=lambda state: state, **model):
        shape = replace(config, **model)
        optimizer = optimizer_of(CONFIG)
        logits = logits_function(shape, jax_npu.dot_general, remat=remat)
        step = make_train_step(logits, optimizer)
        params = init_params(shape, 0)
        state = change(initial_state(params, optimizer, has_images=with_images))
        rng, losses = np.random.default_rng(1), []
        for _ in range(steps):
            batch = rng.integers(0, shape.vocab_size, tokens.shape)
            state, loss, _ = step(state, batch)
            losses.append(float(loss))
        return losses, state

    return take


VARIANTS = [{}, {"remat": "blocks", "activations": "bf16", "tied_head": False}]


@pytest.mark.parametrize("variant", VARIANTS)
def test_fifty_steps_have_the_same_bits_as_without_images(variant, train):
    with jax_npu.backend("host"):
        compare(*(train(50, with_images, **variant) for with_images in (False, True)))


@pytest.mark.slow
def test_steps_on_the_virtual_npu_have_the_same_bits_as_without_images(train):
    with jax_npu.backend("sim"):
        compare(*(train(2, with_images) for with_images in (False, True)))


def compare(without, with_images):
    (losses, expected), (found, state) = without, with_images
    assert found == losses
    assert found[-1] != found[0]
    jax.tree.map(
        np.testing.assert_array_equal, saved_items(state), saved_items(expected)
    )
    params = dict(jax.tree.leaves_with_path(state.params))
    images = dict(jax.tree.leaves_with_path(state.images))
    assert len(images) == 4 * len(state.params["blocks"]) + 1  # and the head
    for path, image in images.items():
        np.testing.assert_array_equal(image, params[path].astype(jnp.bfloat16))


def test_no_product_reads_a_weight_that_has_an_image(train):
    """Zeros for images make every logit zero, whatever the weights are."""

    def forget(state):
        return state._replace(images=jax.tree.map(jnp.zeros_like, state.images))

    with jax_npu.backend("host"):
        (loss,), _ = train(1, True, change=forget)
    assert loss == pytest.approx(np.log(307), rel=1e-6)


def test_a_checkpoint_has_no_images(train):
    with jax_npu.backend("host"):
        saved = [saved_items(train(0, has)[1]) for has in (False, True)]
    assert jax.tree.structure(saved[0]) == jax.tree.structure(saved[1])


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "optax"},
        {"optimizer": "lion"},
        {"moments": "bf16"},
        {"accumulate": 2},
        {"mesh": "data=2,model=1"},
    ],
)
def test_runs_whose_steps_are_otherwise_have_no_images(change):
    with jax_npu.backend("host"):
        assert has_images(CONFIG)
        assert not has_images(replace(CONFIG, **change))


def test_products_that_do_not_round_have_no_images():
    with jax_npu.backend("xla"):
        assert not has_images(CONFIG)
    with jax_npu.backend("host"), jax.default_matmul_precision("highest"):
        assert not has_images(CONFIG)
