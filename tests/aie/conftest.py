"""A model of the cores' arithmetic in NumPy, and comparison to the bit."""

import ml_dtypes
import numpy as np
import pytest

BF16 = ml_dtypes.bfloat16
NAN_BITS = 0x7FC00000
SMALLEST = 2.0**-126


def bits(x):
    return x.view(np.uint16 if x.dtype == BF16 else np.uint32)


def fields(x):
    """Biased exponents; a denormal's is 1."""
    mantissa_bits = 7 if x.dtype == BF16 else 23
    return np.maximum(bits(x) >> mantissa_bits & 255, 1).astype(np.int64)


def to_f32(x):
    """x as an accumulator keeps it: denormals flushed, one zero, one NaN."""
    with np.errstate(over="ignore"):
        x = np.where(np.abs(x) < SMALLEST, 0, x).astype(np.float32)
    bits(x)[np.isnan(x)] = NAN_BITS
    return x


def exact_block(acc, a, b):
    """One k-block of AIE2's mac: acc (m, n) + a (m, 8) b (8, n).

    Terms are scaled by a power of two, so that rint rounds them to the grid.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        # (m, 8, n) products, then (m, 9, n) with the accumulator
        terms = a.astype(np.float64)[:, :, None] * b.astype(np.float64)
        exponents = (fields(a)[:, :, None] + fields(b)) - 254
        terms = np.concatenate([terms, acc.astype(np.float64)[:, None]], axis=1)
        exponents = np.concatenate([exponents, fields(acc)[:, None] - 127], axis=1)
        largest = np.where(terms == 0, -1000, exponents).max(axis=1)
        special = terms.sum(axis=1)  # where a term is infinite or NaN
        grid = np.where(largest == -1000, 0, largest) - 23
        finite = np.isfinite(terms).all(axis=1)
        multiples = np.rint(np.ldexp(terms, -grid[:, None].astype(np.int32)))
        total = np.where(finite, multiples.sum(axis=1), 0).astype(np.int32)
        result = np.ldexp(
            total.astype(np.float32).astype(np.float64), grid.astype(np.int32)
        )
    return to_f32(np.where(finite, result, special))


def sequential_block(acc, a, b):
    """One product at a time; a long double holds the sum for moderate exponents."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    for k in range(8):
        with np.errstate(invalid="ignore"):
            acc = to_f32(acc + a[:, k, None] * b[k])
    return acc


def bfp16_block(acc, a, b, rounding=np.rint):
    def mantissas(x, axis):
        exponent = (fields(x).max(axis=axis, keepdims=True) - 127 - 6).astype(np.int32)
        is_finite = exponent < 255 - 127 - 6  # or the whole block is NaN
        scaled = np.ldexp(np.where(is_finite, x, 0).astype(np.float64), -exponent)
        scale = np.where(is_finite, 1, np.nan)
        return np.minimum(rounding(scaled), 127) * scale, exponent

    (a, a_exponent), (b, b_exponent) = mantissas(a, 1), mantissas(b, 0)
    with np.errstate(invalid="ignore"):
        sums = (a @ b).astype(np.longdouble)
        return to_f32(acc + np.ldexp(sums, a_exponent + b_exponent))


BLOCK_MODELS = {
    "exact": exact_block,
    "sequential": sequential_block,
    "bfp16": bfp16_block,
    "bfp16_floor": lambda acc, a, b: bfp16_block(acc, a, b, np.floor),
}


@pytest.fixture
def model():
    """A function that computes c + a b by blocks of 8 k, in order."""

    def run(a, b, c, arithmetic="exact"):
        acc = to_f32(c.astype(np.float32)) if c.dtype == BF16 else c
        for k in range(0, a.shape[1], 8):
            acc = BLOCK_MODELS[arithmetic](acc, a[:, k : k + 8], b[k : k + 8])
        return acc.astype(c.dtype)

    return run


@pytest.fixture
def assert_same_bits():
    def check(actual, expected):
        wrong = bits(actual) != bits(expected)
        assert not wrong.any(), (
            f"{wrong.sum()} of {wrong.size} differ, the first at "
            f"{np.argwhere(wrong)[0]}: {bits(actual)[wrong][0]:#x} for "
            f"{bits(expected)[wrong][0]:#x}"
        )

    return check
