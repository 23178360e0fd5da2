"""`fast` is close to float64; the other arithmetics have the bits of the reference."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from ...named_cases import named_case

BF16 = ml_dtypes.bfloat16
TILES = [(64, 64, 64), (16, 8, 16), (48, 24, 80), (32, 72, 48), (80, 40, 16)]  # m, k, n
F32_STEP = 2.0**-24  # relative error of one rounding
BF16_STEP = 2.0**-8


@pytest.mark.parametrize("shape", TILES)
def test_fast_error_is_that_of_f32_sums(kernels, rng, shape):
    for case in itertools.product([4, 8], [False, True], [np.float32, BF16]):
        with named_case(*case):
            check_fast(kernels, rng, shape, *case)


def check_fast(kernels, rng, shape, mmul_size, b_col_major, out):
    m, k, n = shape
    a, b = (rng.standard_normal(s).astype(BF16) for s in ((m, k), (k, n)))
    c = rng.standard_normal((m, n)).astype(out)
    result = kernels.matmul(a, b, c, mmul_size, "fast", b_col_major)
    a, b, c = (x.astype(np.float64) for x in (a, b, c))
    exact, mass = a @ b + c, np.abs(a) @ np.abs(b) + np.abs(c)
    bound = 2 * k * F32_STEP * mass  # a product and a sum are rounded for each k
    if out == BF16:
        bound += BF16_STEP * (np.abs(exact) + bound)
    assert (np.abs(result.astype(np.float64) - exact) <= bound).all()


def test_fast_rounds_a_bf16_c_once_a_call(kernels):
    a, b = np.full((16, 64), 2.0**-4, BF16), np.full((64, 16), 2.0**-4, BF16)
    c = np.full((16, 16), 256, BF16)  # whose last place is 2
    # 64 products of 2^-8 add up to a quarter of 1, and only 1 would be a tie.
    assert (kernels.matmul(a, b, c, arithmetic="fast") == 256).all()
    assert (kernels.matmul(a * BF16(4), b * BF16(2), c, arithmetic="fast") == 258).all()


@pytest.mark.parametrize("shape", TILES)
def test_other_arithmetics_equal_the_reference(
    kernels, reference, rng, assert_same_bits, shape
):
    m, k, n = shape
    words = (rng.integers(2**16, size=s, dtype=np.uint16) for s in ((m, k), (k, n)))
    a, b = (x.view(BF16) for x in words)
    c = rng.integers(2**32, size=(m, n), dtype=np.uint32).view(np.float32)
    arithmetics = "exact", "sequential", "bfp16", "bfp16_floor"
    for options in itertools.product([4, 8], arithmetics, [False, True]):
        expected = reference.matmul(a, b, c, *options)
        with named_case(*options):
            assert_same_bits(kernels.matmul(a, b, c, *options), expected)
