"""The host GEMM with every instruction set: remainders, packings and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

from .conftest import Product

F32, BF16 = "float32", "bfloat16"
DTYPES = [(F32, F32), (BF16, BF16), (F32, BF16), (BF16, F32)]
ORIENTATIONS = ["mk,kn->mn", "mk,nk->mn", "km,kn->mn", "km,nk->mn"]
PACKINGS = [  # neighbours in memory: the rows, the contracted dimensions, or neither
    "akb,kc->abc",
    "kab,ckd->cabd",
    "mkh,nkh->mn",
    "mkh,nhk->mn",
    "kmh,hnk->nm",
    "mkb,knb->bmn",
    "bmk,bnk->mnb",
    "akbh,hkc->cab",
    "k,kn->n",
    "mk,k->m",
]


def test_an_instruction_set_that_the_cpu_lacks_is_refused_by_name(
    instruction_sets, monkeypatch
):
    for name in instruction_sets:
        monkeypatch.setenv("JAX_NPU_HOST_ISA", name)
        if not jax_npu.backends()["host"].available:
            with pytest.raises(ValueError, match=f"got '{name}'"):
                jax_npu.backend("host")


def test_the_forced_instruction_set_is_the_one_in_use(isa):
    assert jax_npu.backends()["host"].detail.endswith(isa)


@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_every_orientation_and_dtype_is_right(check, subscripts):
    sizes = {"m": 29, "k": 37, "n": 101}
    check(*(Product(subscripts, sizes, dtypes) for dtypes in DTYPES))


@pytest.mark.parametrize("m", [1, 5, 32])
@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_values_round_to_the_nearest_bf16_and_nan_stays_nan(
    on_every_isa, subscripts, m
):
    words = [
        0x7F800001,  # the NaN that is nearest to infinity
        0xFF80FFFF,
        0x7FFFFFFF,
        0x7F800000,  # infinity
        0xFF800000,
        0x7F7FFFFF,  # the largest f32, above the largest bf16
        0x3F808000,  # ties, to even
        0x3F818000,
        0xBF808001,
        0x3F807FFF,
    ]
    values = np.resize(np.array(words, np.uint32).view(F32), 96)
    rhs = np.where(np.eye(96, dtype=bool), values, np.float32(0))
    lhs = np.ones((m, 96), F32)
    first, second = subscripts.split("->")[0].split(",")
    product = jax.jit(lambda lhs, rhs: jax_npu.einsum(subscripts, lhs, rhs))
    results = on_every_isa(
        product, lhs if first == "mk" else lhs.T, rhs if second == "kn" else rhs.T
    )
    with np.errstate(invalid="ignore"):  # NaN is cast
        expected = np.tile(values.astype(jnp.bfloat16).astype(F32), (m, 1))
    for isa, result in results.items():
        np.testing.assert_array_equal(result, expected, err_msg=isa)


@pytest.mark.parametrize("subscripts", PACKINGS)
def test_every_packing_is_right(check, subscripts):
    sizes = {"a": 3, "b": 5, "c": 50, "d": 2, "h": 3, "k": 7, "m": 19, "n": 49}
    check(*(Product(subscripts, sizes, (dtype, dtype)) for dtype in (F32, BF16)))


@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_every_remainder_of_rows_is_right(check, subscripts):
    sizes = ({"m": m, "k": 5, "n": 97} for m in range(1, 18))
    check(*(Product(subscripts, each) for each in sizes))


@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "mk,nk->mn"])
def test_every_remainder_of_columns_is_right(check, subscripts):
    columns = range(1, 71, 2 if subscripts == "mk,kn->mn" else 3)
    check(*(Product(subscripts, {"m": 3, "k": 4, "n": n}) for n in columns))


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_odd_and_even_k_are_right(check, subscripts, dtype):
    sizes = ({"m": 13, "k": k, "n": 48} for k in (0, 1, 2, 3, 383, 384, 385))
    check(*(Product(subscripts, each, (dtype, dtype)) for each in sizes))


@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "km,nk->nm", "bmk,bnk->mbn"])
def test_products_of_several_blocks_are_right(check, subscripts):
    check(Product(subscripts, {"b": 2, "m": 259, "k": 387, "n": 195}))


@pytest.mark.parametrize("n", [1040, 1041])  # whole lines of the cache, and not
@pytest.mark.parametrize("subscripts", ["km,kn->mn", "km,kn->nm", "mk,kn->mn"])
def test_large_results_are_right(check, subscripts, n):
    """The first two, like weights' gradients, are stored past the caches."""
    check(Product(subscripts, {"m": 1024, "k": 33, "n": n}))


@pytest.mark.parametrize("shape", [(300, 65, 7), (7, 65, 300)])
def test_narrow_results_in_either_direction_are_right(check, shape):
    sizes = dict(zip("mkn", shape))
    check(*(Product(subscripts, sizes) for subscripts in ORIENTATIONS))


def test_higher_precision_is_the_same_on_every_instruction_set(on_every_isa, rng):
    lhs = jnp.asarray(rng.standard_normal((33, 65)), F32)
    rhs = jnp.asarray(rng.standard_normal((65, 49)), F32)
    product = jax.jit(lambda lhs, rhs: jax_npu.matmul(lhs, rhs, precision="highest"))
    exact = jnp.matmul(lhs, rhs)
    mass = jnp.matmul(jnp.abs(lhs), jnp.abs(rhs))
    for isa, out in on_every_isa(product, lhs, rhs).items():
        # f32 accumulation
        assert float((jnp.abs(out - exact) / mass).max()) < 2e-6, isa
