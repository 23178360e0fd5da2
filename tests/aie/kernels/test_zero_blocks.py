"""Skipping blocks of zeros gives the bits of macs that multiply them."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from ...named_cases import named_case

BF16 = ml_dtypes.bfloat16
M, K, N = 48, 40, 80
ARITHMETICS = ["exact", "sequential", "bfp16", "bfp16_floor"]
ACCUMULATORS = np.array(
    [0, 0x80000000, 1, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x3F800000,
     0xC0490FDB, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFC00001],
    np.uint32,
)  # fmt: skip
NOT_FINITE = np.array([np.nan, np.inf, -np.inf]).astype(BF16)


def nothing(a, b):
    pass


def all_of_a(a, b):
    a *= BF16(0)


def all_of_b(a, b):
    b *= BF16(0)


def last_rows(a, b):
    a[16:] = 0


def last_columns(a, b):
    b[:, 16:] = 0


def rows_and_columns(a, b):
    a[5:20], b[:, 16:48] = -0.0, 0


def first_k(a, b):
    a[:, :16], b[:16] = 0, -0.0


def last_k(a, b):
    a[:, 16:], b[16:] = -0.0, 0


def scattered(a, b):
    """Random rows and columns of single k-blocks."""
    rng = np.random.default_rng(len(a))
    for k in range(0, K, 8):
        a[rng.random(M) < 0.5, k : k + 8] = 0
        for j in range(0, N, 16):
            b[k : k + 8, j : j + 16] *= BF16(rng.integers(2))


def one_element_left(a, b):
    last_rows(a, b)
    last_columns(a, b)
    a[-1, -1], b[-1, -1] = -1, 1e-40  # a denormal


ZEROS = [
    nothing, all_of_a, all_of_b, last_rows, last_columns, rows_and_columns, first_k,
    last_k, scattered, one_element_left,
]  # fmt: skip


@pytest.fixture
def padded(rng):
    """a, b and c with blocks of zeros, and accumulators of all kinds."""

    def make(zeros, out=np.float32):
        a, b = (rng.standard_normal(s).astype(BF16) for s in ((M, K), (K, N)))
        zeros(a, b)
        c = rng.standard_normal((M, N)).astype(np.float32)
        special = rng.random(c.shape) < 0.5
        c[special] = rng.choice(ACCUMULATORS, special.sum()).view(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            return a, b, c.astype(out)

    return make


@pytest.mark.parametrize("zeros", ZEROS)
def test_zeros_only_normalise(kernels, padded, model, assert_same_bits, zeros):
    for arithmetic in ARITHMETICS:
        a, b, c = padded(zeros)
        with np.errstate(invalid="ignore", over="ignore"):
            expected = model(a, b, c, arithmetic)
        with named_case(arithmetic):
            assert_same_bits(kernels.matmul(a, b, c, arithmetic=arithmetic), expected)


@pytest.mark.parametrize("zeros", ZEROS)
def test_zeros_meet_infinities_as_in_the_reference(
    kernels, reference, rng, padded, assert_same_bits, zeros
):
    all_options = itertools.product([4, 8], ARITHMETICS, [False, True])
    for out, options in itertools.product([np.float32, BF16], all_options):
        a, b, c = padded(zeros, out)
        for x in (a, b):
            x.flat[rng.integers(x.size, size=3)] = rng.choice(NOT_FINITE, 3)
        expected = reference.matmul(a, b, c, *options)
        with named_case(out, *options):
            assert_same_bits(kernels.matmul(a, b, c, *options), expected)


@pytest.mark.parametrize("zeros", ZEROS)
def test_fast_multiplies_zeros_as_f32_does(kernels, rng, padded, zeros):
    a, b, c = padded(zeros)
    a[3, 2], a[40, 30], b[1, 5], b[20, 70] = np.inf, np.nan, -np.inf, np.nan
    result = kernels.matmul(a, b, c, arithmetic="fast")
    with np.errstate(invalid="ignore"):
        a, b, c, result = (x.astype(np.float64) for x in (a, b, c, result))
        exact, mass = a @ b + c, np.abs(a) @ np.abs(b) + np.abs(c)
        # AVX512-BF16 flushes denormals.
        wrong = np.abs(result - exact) > K * (2.0**-23 * mass + 2.0**-126)
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(result[~finite], exact[~finite])
    assert not (wrong | ~np.isfinite(result))[finite].any()
