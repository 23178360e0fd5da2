"""Whole kernels: layouts, order of blocks, dtypes, arithmetics, conversion, errors."""

import ctypes
import itertools
import platform
import subprocess

import ml_dtypes
import numpy as np
import pytest

from ...named_cases import named_case

BF16 = ml_dtypes.bfloat16
TILES = [(64, 64, 64), (64, 64, 32), (32, 32, 32), (16, 8, 16)]  # m, k, n
# Mean error relative to the sum of |a b|; each limit is several times the error seen.
ERRORS = {
    "exact": 1e-6,
    "sequential": 1e-6,
    "bfp16": 5e-3,
    "bfp16_floor": 2e-2,
    "fast": 1e-6,
}


def tile(rng, m, k, n, out=np.float32):
    a, b, c = (rng.standard_normal(s) for s in ((m, k), (k, n), (m, n)))
    return a.astype(BF16), b.astype(BF16), c.astype(out)


@pytest.mark.parametrize("out", [np.float32, BF16])
@pytest.mark.parametrize("shape", TILES)
def test_exact_kernel_equals_the_model(
    kernels, rng, model, assert_same_bits, shape, out
):
    a, b, c = tile(rng, *shape, out)
    expected = model(a, b, c)
    for mmul_size, b_col_major in itertools.product([4, 8], [False, True]):
        result = kernels.matmul(a, b, c, mmul_size, b_col_major=b_col_major)
        with named_case(mmul_size, b_col_major):
            assert_same_bits(result, expected)


@pytest.mark.parametrize("arithmetic", ["sequential", "bfp16", "bfp16_floor"])
@pytest.mark.parametrize("b_col_major", [False, True])
@pytest.mark.parametrize("mmul_size", [4, 8])
def test_aie2p_kernel_equals_the_model(
    kernels, rng, model, assert_same_bits, mmul_size, b_col_major, arithmetic
):
    a, b, c = tile(rng, 32, 64, 32)
    scale = np.exp2(rng.integers(-6, 7, a.shape))
    a = (a.astype(np.float32) * scale).astype(BF16)
    a[:, ::13] = 0
    a[:2] = BF16(1.9921875)  # a mantissa that rounds to 128
    result = kernels.matmul(a, b, c, mmul_size, arithmetic, b_col_major)
    assert_same_bits(result, model(a, b, c, arithmetic))


@pytest.mark.parametrize("arithmetic", ["sequential", "bfp16", "bfp16_floor"])
def test_aie2p_flushes_overflows_and_propagates_nan(kernels, arithmetic):
    def one_product(x, y, acc):
        a, b = np.zeros((16, 8), BF16), np.zeros((8, 16), BF16)
        a[:, 3], b[3] = x, y
        c = np.full((16, 16), acc, np.float32)
        return kernels.matmul(a, b, c, arithmetic=arithmetic)[0, 0]

    tiny = 2.0**-66
    assert one_product(-tiny, tiny, 0).view(np.uint32) == 0
    assert one_product(2.0**100, 2.0**100, 0) == np.inf
    assert one_product(1, 1, -np.inf) == -np.inf
    assert one_product(np.nan, 1, 0).view(np.uint32) == 0x7FC00000
    assert one_product(np.inf, 0, 0).view(np.uint32) == 0x7FC00000


@pytest.mark.parametrize("shape", TILES)
def test_layouts_are_those_of_a_matrix_product(kernels, rng, shape):
    operands = tile(rng, *shape)
    a, b, c = (x.astype(np.float64) for x in operands)
    expected, mass = a @ b + c, np.abs(a) @ np.abs(b) + np.abs(c)
    for options in itertools.product([4, 8], ERRORS, [False, True]):
        errors = np.abs(kernels.matmul(*operands, *options) - expected) / mass
        _, arithmetic, _ = options
        with named_case(*options):
            assert errors.mean() < ERRORS[arithmetic]


def test_k_tiles_add_up_as_one_long_k(kernels, rng, assert_same_bits):
    a, b, c = tile(rng, 32, 128, 32)
    halves = kernels.matmul(a[:, :64], b[:64], c)
    halves = kernels.matmul(a[:, 64:], b[64:], halves)
    assert_same_bits(halves, kernels.matmul(a, b, c))


@pytest.fixture(scope="module")
def set_mxcsr(tmp_path_factory):
    """Sets how this thread's floating point treats denormals."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("MXCSR is a register of x86")
    folder = tmp_path_factory.mktemp("mxcsr")
    source, library = folder / "mxcsr.c", folder / "mxcsr.so"
    source.write_text(
        "#include <xmmintrin.h>\nvoid set_mxcsr(unsigned x) { _mm_setcsr(x); }\n"
    )
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", library], check=True)
    return ctypes.CDLL(str(library)).set_mxcsr


@pytest.mark.parametrize("arithmetic", ["exact", "sequential", "bfp16", "bfp16_floor"])
def test_a_caller_that_flushes_denormals_changes_nothing(
    kernels, rng, assert_same_bits, set_mxcsr, arithmetic
):
    a = rng.integers(0, 0x180, (16, 8), np.uint16).view(BF16)  # the half of it denormal
    b = (rng.standard_normal((8, 16)) * 4).astype(BF16)
    c = rng.integers(0, 0x01800000, (16, 16), np.uint32).view(np.float32)
    expected = kernels.matmul(a, b, c, arithmetic=arithmetic)
    set_mxcsr(0x9FC0)  # as XLA's threads have it
    try:
        result = kernels.matmul(a, b, c, arithmetic=arithmetic)
    finally:
        set_mxcsr(0x1F80)
    assert_same_bits(result, expected)


def all_kinds_of_f32(rng):
    ends = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    tops = np.arange(2**16, dtype=np.uint32) << 16
    return (tops[:, None] + ends).ravel().view(np.float32)


def test_conversion_to_nearest_even_is_that_of_ml_dtypes(
    kernels, rng, assert_same_bits
):
    x = all_kinds_of_f32(rng)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        expected = x.astype(BF16)
    assert_same_bits(kernels.convert(x, conv_even=True), expected)


def test_floor_is_the_largest_bf16_not_above(kernels, rng, assert_same_bits):
    x = all_kinds_of_f32(rng)
    result = kernels.convert(x, conv_even=False)
    assert (np.isnan(result) == np.isnan(x)).all()
    number = ~np.isnan(x)
    x, result = x[number], result[number]
    assert (result.astype(np.float32) <= x).all()
    # One step up is above: magnitudes grow away from zero on either side.
    word = result.view(np.uint16).astype(np.int32)
    up = np.where(word & 0x8000, np.where(word == 0x8000, 1, word - 1), word + 1)
    above = up.astype(np.uint16).view(BF16).astype(np.float32)
    exact = result.astype(np.float32) == x
    assert (exact | (above > x)).all()


@pytest.mark.parametrize("out", [np.float32, BF16])
def test_zero_clears_the_tile(kernels, rng, out):
    assert (
        not kernels.zero(rng.standard_normal(48 * 16).astype(out)).view(np.uint8).any()
    )


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((24, 8, 16), {}, "multiples of 16"),
        ((16, 8, 24), {"mmul_size": 8}, "multiples of 16"),
        ((16, 8, 16), {"offset_bytes": 16}, "32 bytes"),
    ],
)
def test_calls_that_the_kernel_cannot_serve_are_refused(
    fastest, rng, shape, options, message
):
    with pytest.raises(ValueError, match=message):
        fastest.matmul(*tile(rng, *shape), **options)
