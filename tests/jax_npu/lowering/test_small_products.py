"""Small products of `host` are XLA's, and mean the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.lowering.small_products import (
    MAX_MULTIPLY_ADDS,
    MAX_OF_OUTER,
    MAX_OF_VECTOR,
    MIN_OF_OUTER,
    xla_is_faster,
)
from jax_npu.runtime.environment import SMALL_PRODUCTS

F32, BF16 = "float32", "bfloat16"
SUBSCRIPTS = [
    "mk,kn->mn",
    "km,nk->nm",
    "bmk,bnk->mbn",
    "mbk,knb->nbm",
    "k,k->",
    "k,kn->n",
    "ma,an->nm",  # a has a single index
    "bma,abn->nbm",
    "b,b->b",
]
SIZES = {"a": 1, "b": 2, "k": 4, "m": 2, "n": 3}


@pytest.fixture(params=["xla", "call"])
def choice(request, monkeypatch):
    monkeypatch.setenv(SMALL_PRODUCTS.name, request.param)
    return request.param


def operands(rng, subscripts, dtypes=(F32, F32)):
    terms = subscripts.split("->")[0].split(",")
    return [
        jnp.asarray(rng.standard_normal([SIZES[c] for c in term]), dtype)
        for term, dtype in zip(terms, dtypes)
    ]


def host_einsum(subscripts, **options):
    def product(lhs, rhs):
        return jax_npu.einsum(subscripts, lhs, rhs, backend="host", **options)

    return jax.jit(product)


def test_the_variable_chooses_between_a_call_and_xla(choice, rng):
    compiled = host_einsum("mk,kn->mn").lower(*operands(rng, "mk,kn->mn")).compile()
    assert ("xdna_gemm_host" in compiled.as_text()) == (choice == "call")


def test_unset_it_is_xla(monkeypatch):
    monkeypatch.delenv(SMALL_PRODUCTS.name)
    assert SMALL_PRODUCTS.choose() == "xla"


@pytest.mark.parametrize("out", [F32, BF16])
@pytest.mark.parametrize("dtypes", [(F32, F32), (BF16, BF16), (F32, BF16)], ids=str)
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_either_way_bf16_products_are_accumulated_in_f32(
    choice, rng, assert_contraction, subscripts, dtypes, out
):
    lhs, rhs = operands(rng, subscripts, dtypes)
    actual = host_einsum(subscripts, preferred_element_type=out)(lhs, rhs)
    assert actual.dtype == out
    assert_contraction(actual, subscripts, lhs, rhs, "host")


@pytest.mark.parametrize("precision", ["high", "highest"])
@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_several_passes_are_f32_products(
    monkeypatch, rng, assert_contraction, subscripts, precision
):
    monkeypatch.setenv(SMALL_PRODUCTS.name, "xla")
    lhs, rhs = operands(rng, subscripts)
    actual = host_einsum(subscripts, precision=precision)(lhs, rhs)
    assert_contraction(actual, subscripts, lhs, rhs, "xla")


@pytest.mark.parametrize("subscripts", SUBSCRIPTS)
def test_gradients_are_the_same_either_way(monkeypatch, rng, subscripts):
    lhs, rhs = operands(rng, subscripts)

    def gradients(choice):
        monkeypatch.setenv(SMALL_PRODUCTS.name, choice)

        def loss(lhs, rhs):
            return jnp.sin(host_einsum(subscripts)(lhs, rhs)).sum()

        return jax.grad(loss, (0, 1))(lhs, rhs)

    for one, other in zip(gradients("xla"), gradients("call")):
        # Cotangents that differ by an f32 rounding may round to neighbours in bf16.
        np.testing.assert_allclose(one, other, rtol=2.0**-7, atol=2.0**-7)


@pytest.mark.parametrize("precision", ["default", "highest"])
def test_what_rounds_to_infinity_is_infinite_either_way(choice, precision):
    beyond = np.finfo(np.float32).max
    out = host_einsum("mk,kn->mn", precision=precision)(
        jnp.array([[beyond], [-beyond], [1.0]]), jnp.array([[1.0, 0.25]])
    )
    np.testing.assert_array_equal(out, [[np.inf] * 2, [-np.inf] * 2, [1, 0.25]])


def test_an_empty_product_is_left_to_xla(monkeypatch):
    monkeypatch.setenv(SMALL_PRODUCTS.name, "xla")
    out = jax_npu.matmul(np.ones((2, 0), F32), np.ones((0, 3), F32), backend="host")
    np.testing.assert_array_equal(out, np.zeros((2, 3)))


@pytest.mark.parametrize("backend", ["sim"])
def test_another_backend_always_has_its_call(monkeypatch, rng, backend):
    monkeypatch.setenv(SMALL_PRODUCTS.name, "xla")
    before = jax_npu.counters()
    lhs, rhs = operands(rng, "mk,kn->mn")
    jax_npu.matmul(lhs, rhs, backend=backend).block_until_ready()
    assert (jax_npu.counters() - before).calls == 1


def test_only_what_is_smaller_than_a_call_is_left_to_xla():
    assert xla_is_faster(1, 3, 4, 4)
    assert xla_is_faster(MAX_MULTIPLY_ADDS // 8, 2, 2, 2)
    assert not xla_is_faster(MAX_MULTIPLY_ADDS // 8 + 1, 2, 2, 2)
    assert xla_is_faster(1, 1, MAX_OF_VECTOR // 2, 2)
    assert not xla_is_faster(1, 1, MAX_OF_VECTOR // 2 + 1, 2)
    assert xla_is_faster(MAX_OF_OUTER // 16, 4, 1, 4)
    assert not xla_is_faster(MAX_OF_OUTER // 16 + 1, 4, 1, 4)
    assert xla_is_faster(MIN_OF_OUTER // 16, 4, 1, 4)
    assert not xla_is_faster(1, 4096, 4096, 1)
