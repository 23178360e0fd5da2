"""The host GEMM with every instruction set: remainders, packings and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

F32, BF16 = "float32", "bfloat16"
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


@pytest.fixture
def check(rng, assert_contraction):
    """Runs one contraction of random data and compares it."""

    def run(subscripts, sizes, dtypes=(F32, F32), **options):
        inputs = subscripts.split("->")[0].split(",")
        lhs, rhs = (
            jnp.asarray(rng.standard_normal([sizes[c] for c in term]), dtype)
            for term, dtype in zip(inputs, dtypes)
        )

        @jax.jit
        def product(lhs, rhs):
            return jax_npu.einsum(
                subscripts, lhs, rhs, preferred_element_type=F32, **options
            )

        assert_contraction(product(lhs, rhs), subscripts, lhs, rhs, "host")

    return run


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


@pytest.mark.parametrize("dtypes", [(F32, F32), (BF16, BF16), (F32, BF16), (BF16, F32)])
@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_every_orientation_and_dtype_is_right(isa, check, subscripts, dtypes):
    check(subscripts, {"m": 29, "k": 37, "n": 101}, dtypes)


@pytest.mark.parametrize("m", [1, 5, 32])
@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_values_round_to_the_nearest_bf16_and_nan_stays_nan(isa, subscripts, m):
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
    product = jax_npu.einsum(
        subscripts, lhs if first == "mk" else lhs.T, rhs if second == "kn" else rhs.T
    )
    with np.errstate(invalid="ignore"):  # NaN is cast
        expected = values.astype(jnp.bfloat16).astype(F32)
    np.testing.assert_array_equal(product, np.tile(expected, (m, 1)))


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("subscripts", PACKINGS)
def test_every_packing_is_right(isa, check, subscripts, dtype):
    sizes = {"a": 3, "b": 5, "c": 50, "d": 2, "h": 3, "k": 7, "m": 19, "n": 49}
    check(subscripts, sizes, (dtype, dtype))


@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_every_remainder_of_rows_is_right(isa, check, subscripts):
    for m in range(1, 18):
        check(subscripts, {"m": m, "k": 5, "n": 97})


@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "mk,nk->mn"])
def test_every_remainder_of_columns_is_right(isa, check, subscripts):
    for n in range(1, 71, 2 if subscripts == "mk,kn->mn" else 3):
        check(subscripts, {"m": 3, "k": 4, "n": n})


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_odd_and_even_k_are_right(isa, check, subscripts, dtype):
    for k in (0, 1, 2, 3, 383, 384, 385):
        check(subscripts, {"m": 13, "k": k, "n": 48}, (dtype, dtype))


@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "km,nk->nm", "bmk,bnk->mbn"])
def test_products_of_several_blocks_are_right(isa, check, subscripts):
    check(subscripts, {"b": 2, "m": 259, "k": 387, "n": 195})


@pytest.mark.parametrize("n", [1040, 1041])  # whole lines of the cache, and not
@pytest.mark.parametrize("subscripts", ["km,kn->mn", "km,kn->nm", "mk,kn->mn"])
def test_large_results_are_right(isa, check, subscripts, n):
    """The first two, like weights' gradients, are stored past the caches."""
    check(subscripts, {"m": 1024, "k": 33, "n": n})


@pytest.mark.parametrize("shape", [(300, 65, 7), (7, 65, 300)])
def test_narrow_results_in_either_direction_are_right(isa, check, shape):
    for subscripts in ORIENTATIONS:
        check(subscripts, dict(zip("mkn", shape)))


def test_higher_precision_is_the_same_on_every_instruction_set(isa, rng):
    lhs = jnp.asarray(rng.standard_normal((33, 65)), F32)
    rhs = jnp.asarray(rng.standard_normal((65, 49)), F32)
    out = jax_npu.matmul(lhs, rhs, precision="highest")
    exact = jnp.matmul(lhs, rhs)
    mass = jnp.matmul(jnp.abs(lhs), jnp.abs(rhs))
    assert float((jnp.abs(out - exact) / mass).max()) < 2e-6  # f32 accumulation
