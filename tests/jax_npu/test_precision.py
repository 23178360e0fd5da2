"""The accuracy of each precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.lax import DotAlgorithmPreset, Precision

import jax_npu

F32, BF16 = "float32", "bfloat16"
ROWS_COLUMNS = (((1,), (0,)), ((), ()))

# Bounds on |error| / (sum of |a| |b|). Each part of an operand keeps 8 bits. With one
# part the error is 2^-9 of each operand. With two parts it is 2^-17 of each, plus the
# product of the second parts, 2^-18. Three parts are the whole f32, which leaves only
# the error of the f32 accumulation.
ONE_PASS = 2.0**-7
THREE_PASSES = 2.0**-15
F32_ACCURATE = 2e-6
# Lower bounds on the mean relative error, well above that of the next precision: a
# product must not be more accurate, and slower, than requested.
NOT_BETTER_THAN = {ONE_PASS: 2.0**-14, THREE_PASSES: 2.0**-22}

PRECISIONS = [
    (None, ONE_PASS),
    ("default", ONE_PASS),
    (Precision.DEFAULT, ONE_PASS),
    (DotAlgorithmPreset.DEFAULT, ONE_PASS),
    (DotAlgorithmPreset.BF16_BF16_F32, ONE_PASS),
    ("high", THREE_PASSES),
    (Precision.HIGH, THREE_PASSES),
    (DotAlgorithmPreset.BF16_BF16_F32_X3, THREE_PASSES),
    ("highest", F32_ACCURATE),
    (Precision.HIGHEST, F32_ACCURATE),
    ((Precision.DEFAULT, Precision.HIGHEST), F32_ACCURATE),
    (DotAlgorithmPreset.BF16_BF16_F32_X6, F32_ACCURATE),
    (DotAlgorithmPreset.BF16_BF16_F32_X9, F32_ACCURATE),
]


def random(rng, *shape, dtype=F32):
    return jnp.asarray(rng.standard_normal(shape), dtype)


def relative_error(actual, subscripts, *operands):
    exact = [np.asarray(x).astype(np.float64) for x in operands]
    error = np.abs(np.asarray(actual) - np.einsum(subscripts, *exact))
    return error / np.einsum(subscripts, *map(np.abs, exact))


@pytest.mark.parametrize("k", [1, 65, 500])
@pytest.mark.parametrize(("precision", "bound"), PRECISIONS, ids=str)
def test_every_precision_keeps_its_bound(custom_call_backend, rng, precision, bound, k):
    lhs, rhs = random(rng, 33, k), random(rng, k, 21)
    out = jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS, precision=precision)
    error = relative_error(out, "mk,kn->mn", lhs, rhs)
    assert error.max() < bound
    if custom_call_backend == "host" and k == 1:
        return  # read in place, where f32 takes no longer
    assert error.mean() > NOT_BETTER_THAN.get(bound, 0)


def test_highest_is_f32_accurate_on_every_backend(backend, rng):
    lhs, rhs = random(rng, 33, 65), random(rng, 65, 21)
    out = jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS, precision="highest")
    assert relative_error(out, "mk,kn->mn", lhs, rhs).max() < F32_ACCURATE


@pytest.mark.parametrize("name", ["dot_general", "matmul", "einsum"])
def test_the_default_matmul_precision_is_honoured(backend, rng, name):
    lhs, rhs = random(rng, 33, 65), random(rng, 65, 21)
    product = {
        "dot_general": lambda a, b: jax_npu.dot_general(a, b, ROWS_COLUMNS),
        "matmul": jax_npu.matmul,
        "einsum": lambda a, b: jax_npu.einsum("mk,kn->mn", a, b),
    }[name]
    with jax.default_matmul_precision("highest"):
        out = jax.jit(product)(lhs, rhs)
    assert relative_error(out, "mk,kn->mn", lhs, rhs).max() < F32_ACCURATE


@pytest.mark.parametrize("name", ["matmul", "einsum"])
def test_matmul_and_einsum_take_a_precision(custom_call_backend, rng, name):
    lhs, rhs = random(rng, 33, 65), random(rng, 65, 21)
    arguments = (lhs, rhs) if name == "matmul" else ("mk,kn->mn", lhs, rhs)
    product = getattr(jax_npu, name)
    for precision, bound in (("high", THREE_PASSES), ("highest", F32_ACCURATE)):
        out = product(*arguments, precision=precision)
        assert relative_error(out, "mk,kn->mn", lhs, rhs).max() < bound


@pytest.mark.parametrize(("precision", "bound"), PRECISIONS, ids=str)
def test_bf16_operands_are_their_own_only_part(
    custom_call_backend, rng, precision, bound
):
    lhs, rhs = random(rng, 9, 65, dtype=BF16), random(rng, 65, 7, dtype=BF16)

    def product(precision):
        return jax_npu.dot_general(
            lhs, rhs, ROWS_COLUMNS, precision, preferred_element_type=F32
        )

    np.testing.assert_array_equal(product(precision), product(None))


@pytest.mark.parametrize("dtypes", [(F32, BF16), (BF16, F32)])
@pytest.mark.parametrize(("precision", "bound"), PRECISIONS, ids=str)
def test_mixed_operands_keep_the_bound(
    custom_call_backend, rng, precision, bound, dtypes
):
    lhs, rhs = random(rng, 33, 65, dtype=dtypes[0]), random(rng, 65, 9, dtype=dtypes[1])
    out = jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS, precision)
    assert relative_error(out, "mk,kn->mn", lhs, rhs).max() < bound


@pytest.mark.parametrize(
    ("precision", "bound"), [("high", THREE_PASSES), ("highest", F32_ACCURATE)]
)
def test_gradients_have_the_precision_of_the_product(
    custom_call_backend, rng, precision, bound
):
    lhs, rhs, ct = random(rng, 33, 65), random(rng, 65, 21), random(rng, 33, 21)
    _, pullback = jax.vjp(
        lambda a, b: jax_npu.matmul(a, b, precision=precision), lhs, rhs
    )
    lhs_ct, rhs_ct = pullback(ct)
    assert relative_error(lhs_ct, "mn,kn->mk", ct, rhs).max() < bound
    assert relative_error(rhs_ct, "mk,mn->kn", lhs, ct).max() < bound


@pytest.mark.parametrize("shape", [(5, 300, 300), (300, 300, 5)])
def test_orientation_of_the_kernel_changes_no_bound(custom_call_backend, rng, shape):
    m, k, n = shape
    lhs, rhs = random(rng, m, k), random(rng, n, k)
    out = jax_npu.dot_general(lhs, rhs, (((1,), (1,)), ((), ())), precision="highest")
    assert relative_error(out, "mk,nk->mn", lhs, rhs).max() < F32_ACCURATE


def test_large_and_small_values_keep_the_bound(custom_call_backend, rng):
    """The third part, 2^-16 of a value, may be denormal and must not be flushed."""
    signs = np.sign(random(rng, 33, 7))
    for scale in (1e36, 1e30, 1e-12, 1e-30):
        lhs = scale * (1 + abs(random(rng, 9, 33))) * np.sign(random(rng, 9, 33))
        rhs = signs * (1 + abs(random(rng, 33, 7)))
        out = jax_npu.matmul(lhs, rhs, precision="highest")
        assert relative_error(out, "mk,kn->mn", lhs, rhs).max() < F32_ACCURATE


every_precision = pytest.mark.parametrize("precision", ["default", "high", "highest"])


@every_precision
def test_values_that_are_not_finite_are_those_of_lax(backend, precision):
    inf, nan = np.inf, np.nan
    lhs = jnp.array(
        [[inf, 1.0], [-inf, 1.0], [inf, inf], [inf, -inf], [nan, 1.0], [1 / 3, 2.0]]
    )
    rhs = jnp.array([[1.0, -1 / 3, 0.0, inf], [1.0, 2.0, 3.0, 1 / 7]])
    out = jax_npu.matmul(lhs, rhs, precision=precision)
    stock = np.asarray(jnp.matmul(lhs, rhs))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(stock))
    np.testing.assert_array_equal(np.isinf(out), np.isinf(stock))
    np.testing.assert_array_equal(
        np.asarray(out)[np.isinf(stock)], stock[np.isinf(stock)]
    )


@every_precision
def test_finite_values_that_round_to_infinity_are_infinite_and_not_nan(
    custom_call_backend, precision
):
    largest = np.float32(jnp.finfo(BF16).max)
    beyond = np.finfo(np.float32).max
    lhs = jnp.array([[beyond], [-beyond], [largest]])
    out = jax_npu.matmul(lhs, jnp.array([[1.0, 0.25]]), precision=precision)
    expected = [[np.inf, np.inf], [-np.inf, -np.inf], [largest, largest / 4]]
    np.testing.assert_array_equal(out, expected)


@every_precision
def test_overflow_of_a_sum_of_finite_products_is_infinite(backend, precision):
    lhs = jnp.array([[3e38 / 1.1, 3e38 / 1.1]])
    out = jax_npu.matmul(lhs, jnp.array([[1.1], [1.1]]), precision=precision)
    np.testing.assert_array_equal(out, [[np.inf]])


@every_precision
def test_an_overflow_has_the_sign_of_the_products(custom_call_backend, rng, precision):
    """The lower parts have both signs, and their products overflow as well."""
    signs = np.sign(random(rng, 9, 1)), np.sign(random(rng, 1, 7))
    lhs, rhs = 1 + rng.random((9, 33)), 1 + rng.random((33, 7))
    out = jax_npu.matmul(
        (3e36 * lhs * signs[0]).astype(F32),
        (3e36 * rhs * signs[1]).astype(F32),
        precision=precision,
    )
    np.testing.assert_array_equal(out, signs[0] * signs[1] * np.inf)


def test_lax_takes_the_same_precisions_on_xla(rng):
    lhs, rhs = random(rng, 3, 4), random(rng, 4, 5)
    for precision in (None, "high", Precision.HIGHEST):
        np.testing.assert_array_equal(
            jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS, precision, backend="xla"),
            lax.dot_general(lhs, rhs, ROWS_COLUMNS, precision),
        )
