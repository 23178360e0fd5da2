"""bf16 images of weights: AdamW writes them, and products read them instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

from .trees import random_tree

BF16 = jnp.bfloat16


def image_of(param):
    return param.astype(BF16)


def same_bits(one, other):
    def compare(a, b):
        assert a.dtype == b.dtype
        # NumPy takes no two NaNs of bf16 for equal.
        np.testing.assert_array_equal(*(np.asarray(x, np.float32) for x in (a, b)))

    jax.tree.map(compare, one, other)


def updated(rng, params, **arguments):
    """What `apply` returns, and `apply_with_images`, with images of all but biases."""
    ours = jax_npu.adamw(1e-2, max_norm=1.0, **arguments)
    grads = jax.tree.map(lambda g, p: g.astype(p.dtype), random_tree(rng), params)
    images = jax.tree.map(image_of, params)
    images["block"]["bias"] = None
    given = grads, ours.init(params), params
    before = jax_npu.counters()
    plain = jax.block_until_ready(jax.jit(ours.apply)(*given))
    between = jax_npu.counters()
    found = jax.block_until_ready(jax.jit(ours.apply_with_images)(*given, images))
    counted = between - before, jax_npu.counters() - between
    return plain, found, [c.optimizer_bytes for c in counted]


def test_an_image_is_the_new_parameter_rounded_and_all_else_stays(isa, rng):
    params = random_tree(rng)
    params["odd"] = params["odd"].at[:3, 0].set(jnp.array([jnp.nan, jnp.inf, 3e38]))
    (new, state), (*rest, images), num_bytes = updated(rng, params)
    same_bits((new, state), tuple(rest))
    expected = jax.tree.map(image_of, new)
    expected["block"]["bias"] = None
    same_bits(images, expected)
    image_bytes = sum(image.nbytes for image in jax.tree.leaves(images))
    assert num_bytes[1] - num_bytes[0] == image_bytes > 0


@pytest.mark.parametrize("nesterov", [True, False])
def test_parameters_left_to_optax_have_images_too(nesterov, rng):
    params = random_tree(rng)
    params["odd"] = params["odd"].astype(jnp.float16)
    (new, _), (*_, images), _ = updated(rng, params, nesterov=nesterov)
    same_bits(images["odd"], image_of(new["odd"]))
    same_bits(images["block"]["kernel"], image_of(new["block"]["kernel"]))
    assert images["block"]["bias"] is None


@pytest.fixture
def layer(rng):
    """Rows, a weight, and an image of another weight, so that one sees who reads it."""
    shapes = (20, 30), (30, 40), (30, 40)
    x, w, other = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes)
    return x, w, image_of(other)


def loss(x, w, image, **options):
    paired = jax_npu.with_image(w, image)
    return (jax_npu.matmul(x, paired, **options) ** 2).sum() + paired[3].sum()


def test_products_read_the_image_and_lookups_the_weight(layer, custom_call_backend):
    x, w, image = layer
    other = image.astype(jnp.float32)
    gradients = jax.grad(loss, argnums=(0, 1))
    found = jax.jit(jax_npu.round_early(gradients))(x, w, image)
    of_other = jax.jit(gradients)(x, other, image)
    same_bits(found, of_other)  # linear in the lookup: its gradient is the same
    assert found[1].dtype == jnp.float32
    value = jax.jit(jax_npu.round_early(loss))(x, w, image)
    expected = jax.jit(loss)(x, other, image) - other[3].sum() + w[3].sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax_npu.round_early])
def test_what_does_not_round_reads_the_weight(wrap, layer, backend):
    x, w, image = layer
    options = {} if backend == "xla" else {"precision": "highest"}

    def with_options(*args):
        return jax.value_and_grad(loss)(*args, **options)

    right = image_of(w)
    same_bits(*(jax.jit(wrap(with_options))(x, w, i) for i in (image, right)))


def test_under_vmap_a_weight_stands_for_the_pair(layer):
    _, w, image = layer
    stacked = jnp.stack([w, 2 * w])
    pairs = jax.vmap(jax_npu.with_image)(stacked, jnp.stack([image, image]))
    same_bits(pairs, stacked)


def test_an_image_that_is_none_is_refused(layer):
    _, w, image = layer
    for wrong in (w, image[1:]):
        with pytest.raises(TypeError, match=r"float32 weight and its bfloat16 image"):
            jax_npu.with_image(w, wrong)
