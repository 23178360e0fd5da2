"""The precision of offloaded products: given, by name scope, or jax's own setting."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

# Errors of products of 64 terms, relative to their size: bf16 operands, and f32.
MIN_BF16_ERROR, MAX_F32_ERROR = 1e-4, 1e-5


@pytest.fixture
def operands(rng):
    return tuple(rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))


def error(product, operands):
    exact = np.float64(operands[0]) @ np.float64(operands[1])
    return np.abs(product(*operands) - exact).max() / np.abs(exact).max()


def in_scope(a, b):
    with jax.named_scope("outer"), jax.named_scope("loss"):
        return jnp.matmul(a, b)


def test_by_default_operands_are_rounded_to_bf16(custom_call_backend, operands):
    assert error(jax_npu.offload(jnp.matmul), operands) > MIN_BF16_ERROR


@pytest.mark.parametrize(
    "precision",
    [
        "highest",
        "float32",
        jax.lax.Precision.HIGHEST,
        "BF16_BF16_F32_X6",
        "F32_F32_F32",
    ],
)
def test_highest_is_as_exact_as_f32(custom_call_backend, operands, precision):
    exact = jax_npu.offload(jnp.matmul, precision=precision)
    assert error(exact, operands) < MAX_F32_ERROR


@pytest.mark.parametrize(
    ("scope", "is_exact"),
    [
        ("loss", True),
        ("outer/loss", True),
        ("outer", True),
        ("", True),
        ("los", False),
        ("loss/outer", False),
        ("inner/loss", False),
    ],
)
def test_a_scope_has_its_own_precision(custom_call_backend, operands, scope, is_exact):
    product = jax.jit(jax_npu.offload(in_scope, precision={scope: "highest"}))
    assert (error(product, operands) < MAX_F32_ERROR) == is_exact


def test_the_first_scope_that_fits_decides(custom_call_backend, operands):
    scopes = {"loss": "default", "": "highest"}
    product = jax.jit(jax_npu.offload(in_scope, precision=scopes))
    assert error(product, operands) > MIN_BF16_ERROR


def test_a_scope_holds_for_the_derivative_too(custom_call_backend, operands):
    def gradient(scope):
        loss = lambda a, b: in_scope(a, b).sum()  # noqa: E731
        return jax.jit(jax_npu.offload(jax.grad(loss), precision={scope: "highest"}))

    exact = np.float64(operands[1]).sum(1)[None].repeat(64, 0)
    size = np.abs(exact).max()
    assert np.abs(gradient("loss")(*operands) - exact).max() / size < MAX_F32_ERROR
    assert np.abs(gradient("other")(*operands) - exact).max() / size > MIN_BF16_ERROR


def test_a_product_with_a_precision_of_its_own_keeps_it(custom_call_backend, operands):
    @jax_npu.offload(precision="default")
    def product(a, b):
        return jnp.matmul(a, b, precision="highest")

    assert error(product, operands) < MAX_F32_ERROR


def test_the_default_precision_of_jax_is_none_of_its_own(custom_call_backend, operands):
    @jax_npu.offload(precision="highest")
    def product(a, b):
        return jnp.matmul(a, b, precision="default")

    assert error(product, operands) < MAX_F32_ERROR


@pytest.mark.parametrize("name", ["highest", "float32", "F32_F32_F32"])
def test_the_setting_of_jax_decides_for_what_has_none(
    custom_call_backend, operands, name
):
    with jax.default_matmul_precision(name):
        assert error(jax_npu.offload(jnp.matmul), operands) < MAX_F32_ERROR
        assert error(jax_npu.matmul, operands) < MAX_F32_ERROR


def test_an_algorithm_that_lax_refuses_is_refused_by_lax(custom_call_backend, operands):
    precision = jax.lax.DotAlgorithm(*[np.float32] * 3, 1, 1, 1, False)
    product = functools.partial(jnp.matmul, precision=precision)
    with pytest.raises(ValueError, match="is not supported") as stock:
        product(*operands)
    with pytest.raises(ValueError, match=re.escape(str(stock.value))):
        jax_npu.offload(product)(*operands)


def test_a_name_that_is_no_precision_is_refused():
    with pytest.raises(ValueError, match=r"precision must be .*got 'exact'.*'highest'"):
        jax_npu.offload(jnp.matmul, precision={"loss": "exact"})


def test_a_backend_that_does_not_exist_is_refused_at_once():
    with pytest.raises(ValueError, match="got 'gpu'"):
        jax_npu.offload(jnp.matmul, backend="gpu")


def test_values_that_only_offloaded_products_read_are_rounded_early(
    custom_call_backend, operands
):
    def program(a, b):
        return jnp.tanh(a) @ jnp.tanh(b)

    late = jax.jit(jax_npu.offload(program))
    early = jax.jit(jax_npu.round_early(jax_npu.offload(program)))
    text = early.lower(*operands).as_text()
    # On an NPU, the memory of the result follows, with the operands' numbers.
    types = r"tensor<64x64xbf16>, tensor<64x64xbf16>(, tensor<64x64xf32>)?"
    assert re.search(types + r"\) -> tensor<64x64xf32>", text)
    np.testing.assert_array_equal(early(*operands), late(*operands))
