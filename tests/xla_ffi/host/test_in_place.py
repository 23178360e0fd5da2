"""Products whose operands the host reads where they lie, on every instruction set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .conftest import Product

F32, BF16 = "float32", "bfloat16"
DTYPES = [(F32, F32), (BF16, BF16), (F32, BF16), (BF16, F32)]
# The types of both operands, and that of the result.
TYPES = [*((pair, F32) for pair in DTYPES), ((F32, F32), BF16), ((BF16, BF16), BF16)]
ORIENTATIONS = ["mk,kn->mn", "mk,nk->mn", "km,kn->mn", "km,nk->nm"]
DOTS = ["k,k->", "bk,bk->b", "kb,kb->b", "bk,kb->b", "abk,bak->ab", "ahk,ahk->a"]
ROWS = [
    *ORIENTATIONS,
    "mk,akb->mab",  # columns of two axes
    "mhk,khn->mn",  # contracted indices of two axes, in another order
    "mkh,nhk->nm",
    "mkb,knb->bmn",  # neither columns nor contracted indices are neighbours
    "bmk,bnk->mbn",
    "bkm,bkn->nbm",
]
BATCHES = [
    "bmk,bkn->bmn",
    "bmk,bnk->bmn",
    "bkm,bkn->bmn",
    "bkm,bnk->bnm",
    "mbk,knb->nbm",
    "abmk,bakn->abmn",
    "bmkh,bhkn->bmn",
]
# Some threads take part from 2^17 elements on.
MANY = 2**17


@pytest.mark.parametrize("subscripts", DOTS)
def test_dots_are_right(check, subscripts):
    for dtypes in DTYPES:
        sizes = [{"a": 3, "b": 37, "h": 2, "k": k} for k in (1, 15, 16, 149)]
        check(*(Product(subscripts, each, dtypes) for each in sizes))


@pytest.mark.parametrize("subscripts", DOTS)
def test_dots_of_many_threads_are_right(check, subscripts):
    sizes = {"a": 5, "b": 1031, "h": 3, "k": 0}
    per_k = np.prod([sizes[c] for c in subscripts.split(",")[0] if c != "k"])
    check(Product(subscripts, {**sizes, "k": int(MANY / per_k) + 29}))


@pytest.mark.parametrize("subscripts", ROWS)
def test_few_rows_are_right(check, subscripts):
    for dtypes, out in TYPES:
        sizes = [
            {"a": 5, "b": 43, "h": 3, "k": 91, "n": 517, "m": m} for m in (1, 3, 8)
        ]
        check(*(Product(subscripts, each, dtypes, out) for each in sizes))


@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_every_remainder_of_a_few_rows_is_right(check, subscripts):
    sizes = [{"m": 1, "k": 33, "n": n} for n in (257, 260, 265, 271, 272)]
    sizes += [{"m": 4, "k": k, "n": 19} for k in (16, 17, 31, 4099)]
    check(*(Product(subscripts, each) for each in sizes))


@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_few_rows_of_many_threads_are_right(check, subscripts):
    check(Product(subscripts, {"m": 2, "k": 257, "n": MANY // 256 + 3}))
    # The threads share k.
    check(Product(subscripts, {"m": 3, "k": MANY // 5 + 3, "n": 5}))


def test_rows_of_a_batch_over_many_threads_are_right(check):
    check(Product("bmk,bnk->mbn", {"b": 19, "m": 1, "k": 64, "n": 301}))
    check(Product("bmk,bnk->bmn", {"b": 2, "m": 1, "k": 300, "n": 301}))


@pytest.mark.parametrize("subscripts", BATCHES)
def test_many_small_products_are_right(check, subscripts):
    for dtypes, out in TYPES:
        sizes = [
            {"a": 2, "b": 41, "h": 2, "m": m, "k": k, "n": n}
            for m, k, n in [(3, 3, 3), (1, 2, 7), (5, 9, 16), (18, 4, 33)]
        ]
        check(*(Product(subscripts, each, dtypes, out) for each in sizes))


@pytest.mark.parametrize("subscripts", BATCHES)
def test_small_products_of_many_threads_are_right(check, subscripts):
    sizes = {"a": 2, "h": 2, "m": 3, "k": 4, "n": 5}
    check(Product(subscripts, {**sizes, "b": MANY // 40}))


@pytest.mark.parametrize("precision", ["high", "highest", "BF16_BF16_F32_X9"])
@pytest.mark.parametrize(
    ("subscripts", "sizes"),
    [
        ("k,k->", {"k": 1003}),
        ("kb,kb->b", {"k": 7, "b": 40}),
        ("mk,kn->mn", {"m": 3, "k": 301, "n": 87}),
        ("mk,nk->mn", {"m": 3, "k": 301, "n": 87}),
        ("bmk,bkn->bmn", {"b": 9, "m": 3, "k": 5, "n": 4}),
    ],
)
def test_several_passes_are_products_of_f32(check, subscripts, sizes, precision):
    if precision.startswith("BF16"):
        precision = jax.lax.DotAlgorithmPreset[precision]
    check(*(Product(subscripts, sizes, dtypes, F32, precision) for dtypes in DTYPES))


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("k", [1, 17, 35])
@pytest.mark.parametrize("subscripts", ["k,nk->n", "k,kn->n", "nk,nk->n", "mk,nk->mn"])
def test_what_lies_behind_a_row_does_not_reach_it(on_every_isa, subscripts, k, dtype):
    """Rests of rows are read as whole vectors: here the next row is infinite."""
    first, second = subscripts.split("->")[0].split(",")
    product = Product(subscripts, {"k": k, "n": 67, "m": 3}, (dtype, dtype))
    rhs = np.ones((67, k), F32)
    rhs[1::2] = np.inf
    results = on_every_isa(
        jax.jit(product),
        jnp.ones([product.sizes[c] for c in first], dtype),
        jnp.asarray(rhs if second == "nk" else rhs.T, dtype),
    )
    for isa, out in results.items():
        expected = np.broadcast_to(rhs.sum(1), out.shape)
        np.testing.assert_array_equal(out, expected, err_msg=isa)


@pytest.mark.parametrize("subscripts", ["bmk,bkn->bmn", "mk,kn->mn", "bmk,bmk->bm"])
def test_a_product_of_nothing_is_zero(on_every_isa, subscripts):
    product = Product(subscripts, {"b": 3, "m": 2, "k": 0, "n": 40})
    results = on_every_isa(jax.jit(product), *map(jnp.zeros, product.shapes()))
    for isa, out in results.items():
        assert not np.asarray(out).any(), isa
