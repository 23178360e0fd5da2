"""`round_early`: values that only products read are rounded where they are computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jax_npu

from ..emitters import AS_USERS_HAVE_THEM


@pytest.fixture
def operands(rng):
    shapes = (20, 30), (30, 40), (40, 50)
    return [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes]


def hidden_layer(x, w, v):
    return jax_npu.matmul(jax.nn.gelu(jax_npu.matmul(x, w)), v)


def mean_square(x, w, v):
    return jnp.mean(hidden_layer(x, w, v) ** 2)


def repeated(x, w, v):
    return lax.fori_loop(0, 3, lambda _, x: jnp.tanh(hidden_layer(x, w, v) @ u(v)), x)


def u(v):
    return jnp.ones((v.shape[1], 30), v.dtype)


def in_a_branch(x, w, v):
    return lax.cond(x.sum() > 0, lambda: hidden_layer(x, w, v), lambda: x @ w @ v)


FUNCTIONS = [
    hidden_layer,
    jax.value_and_grad(mean_square, argnums=(0, 1, 2)),
    jax.jit(hidden_layer),
    repeated,
    in_a_branch,
]


def read_as_bf16(function, *operands):
    """How often values are rounded to bf16 in the program and in those inside it."""
    text = str(jax.make_jaxpr(function)(*operands))
    return text.count("new_dtype=bfloat16")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_results_are_the_same_to_the_bit(function, operands, backend):
    early = jax_npu.round_early(function)
    expected = jax.jit(function, compiler_options=AS_USERS_HAVE_THEM)(*operands)
    actual = jax.jit(early, compiler_options=AS_USERS_HAVE_THEM)(*operands)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_something_is_rounded_early(function, operands, custom_call_backend):
    assert read_as_bf16(function, *operands) == 0
    assert read_as_bf16(jax_npu.round_early(function), *operands) > 0


def test_a_value_is_rounded_once_for_all_products(operands, custom_call_backend):
    def twice(x, w, v):
        y = jnp.tanh(x)
        return jax_npu.matmul(y, w), jax_npu.einsum("kn,mk->nm", w, y)

    assert read_as_bf16(jax_npu.round_early(twice), *operands) == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w, v: jax_npu.matmul(x, w),  # an argument is in memory already
        lambda x, w, v: (y := jnp.tanh(x), jax_npu.matmul(y, w)),  # a result too
        lambda x, w, v: jax_npu.matmul(y := jnp.tanh(x), w) + y.sum(),
        lambda x, w, v: jax_npu.matmul(jax_npu.matmul(x, w), v),  # a product's result
        lambda x, w, v: jax_npu.matmul(jnp.tanh(x), w, precision="highest"),
        lambda x, w, v: jnp.matmul(jnp.tanh(x), w),
    ],
)
def test_what_others_read_or_memory_holds_stays(function, operands):
    with jax_npu.backend("host"):
        assert read_as_bf16(jax_npu.round_early(function), *operands) == 0


def test_xla_is_left_alone(operands):
    with jax_npu.backend("xla"):
        assert read_as_bf16(jax_npu.round_early(hidden_layer), *operands) == 0


def test_arguments_by_name_and_trees_pass_through(operands, backend):
    x, w, v = operands

    @jax_npu.round_early
    def layer(weights, *, x):
        """Has a docstring."""
        return {"y": hidden_layer(x, *weights), "x": x}

    out = jax.jit(layer)((w, v), x=x)
    assert np.array_equal(out["y"], jax.jit(hidden_layer)(x, w, v))
    assert out["x"].shape == x.shape
    assert layer.__doc__ == "Has a docstring."
