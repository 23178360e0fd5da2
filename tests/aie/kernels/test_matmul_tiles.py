"""Operands in tiles, in four orders, give the bits of the same product in blocks."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from ...named_cases import named_case
from .layouts import in_tiles

BF16 = ml_dtypes.bfloat16
TILES = [  # m, k, n, parts
    (64, 64, 64, 1), (64, 128, 64, 4), (16, 16, 16, 1), (64, 96, 96, 2),
    (64, 64, 96, 1), (96, 48, 64, 2),
]  # fmt: skip
EXACT_ARITHMETICS = ["exact", "sequential", "bfp16", "bfp16_floor"]
SPECIALS = [0x7F80, 0xFF80, 0x7FC0, 0x0001, 0x807F, 0x8000, 0x0000, 0x7F7F]

MMUL_SIZES = [4, 8]
ORDERS = range(4)  # A B, At B, A Bt, At Bt


def normal(rng, shape):
    return rng.standard_normal(shape).astype(BF16)


def special(rng, shape):
    """Some infinities, NaN, denormals, both zeros, and blocks of zeros only."""
    x = normal(rng, shape)
    chosen = rng.random(shape) < 0.002
    x.view(np.uint16)[chosen] = rng.choice(SPECIALS, chosen.sum())
    x[-17:], x[:, -17:] = 0, -0.0
    return x


def denormal(rng, shape):
    """Numbers on both sides of the smallest normal one."""
    return rng.integers(0, 0x180, shape, np.uint16).view(BF16)


def any_bits(rng, shape):
    return rng.integers(2**16, size=shape, dtype=np.uint16).view(BF16)


@pytest.fixture
def check(kernels, assert_same_bits):
    """Compares tiles in every order, for every size of the product, with blocks."""

    def run(other, a, b, c, arithmetics, parts):
        for options in itertools.product(MMUL_SIZES, arithmetics):
            expected = other.matmul(a, b, c, *options)
            for orders in ORDERS:
                actual = kernels.matmul_tiles(a, b, c, *options, orders, parts)
                with named_case(*options, f"orders {orders}"):
                    assert_same_bits(actual, expected)

    return run


@pytest.mark.parametrize("shape", TILES)
def test_tiles_have_the_bits_of_blocks(check, reference, rng, shape):
    m, k, n, parts = shape
    a, b = normal(rng, (m, k)), normal(rng, (k, n))
    c = rng.standard_normal((m, n)).astype(np.float32)
    check(reference, a, b, c, EXACT_ARITHMETICS, parts)


@pytest.mark.parametrize("values", [special, denormal, any_bits])
def test_special_numbers_in_tiles_have_the_bits_of_blocks(
    check, reference, rng, values
):
    a = values(rng, (64, 64))
    # Products of two denormals would all be flushed.
    b = (normal if values is denormal else values)(rng, (64, 96))
    c = rng.integers(2**32, size=(64, 96), dtype=np.uint32).view(np.float32)
    check(reference, a, b, c, EXACT_ARITHMETICS, 2)


@pytest.mark.parametrize("shape", TILES)
def test_fast_adds_in_the_order_of_blocks(check, kernels, rng, shape):
    m, k, n, parts = shape
    a, b = normal(rng, (m, k)), normal(rng, (k, n))
    c = rng.standard_normal((m, n)).astype(np.float32)
    check(kernels, a, b, c, ["fast"], parts)


def test_tiles_have_the_bits_of_the_model(kernels, rng, model, assert_same_bits):
    a, b = normal(rng, (64, 96)), normal(rng, (96, 32))
    c = rng.standard_normal((64, 32)).astype(np.float32)
    expected = model(a, b, c)
    for mmul_size, orders in itertools.product(MMUL_SIZES, ORDERS):
        result = kernels.matmul_tiles(a, b, c, mmul_size, orders=orders, parts=2)
        with named_case(mmul_size, f"orders {orders}"):
            assert_same_bits(result, expected)


@pytest.mark.parametrize("arithmetic", [*EXACT_ARITHMETICS, "fast"])
@pytest.mark.parametrize("mmul_size", MMUL_SIZES)
def test_first_products_leave_nothing_of_c(
    kernels, rng, assert_same_bits, mmul_size, arithmetic
):
    a, b = normal(rng, (32, 48)), special(rng, (48, 32))
    garbage = rng.integers(2**32, size=(32, 32), dtype=np.uint32).view(np.float32)
    options = mmul_size, arithmetic
    expected = kernels.matmul_tiles(a, b, np.zeros((32, 32), np.float32), *options)
    actual = kernels.matmul_tiles(a, b, garbage, *options, is_first=True)
    assert_same_bits(actual, expected)


def image(x):
    """A stored matrix (rows, cols) as [rows/16][cols/16][2][2][8][8]."""
    rows, cols = x.shape
    blocks = x.reshape(rows // 16, 2, 8, cols // 16, 2, 8)
    return blocks.transpose(0, 3, 1, 4, 2, 5)


@pytest.mark.parametrize("transposed", [False, True])
def test_whole_tiles_of_one_image_are_either_operand(rng, assert_same_bits, transposed):
    stored = normal(rng, (64, 96))
    x = stored.T if transposed else stored
    tiles = image(stored)
    by_columns = tiles.swapaxes(0, 1)
    # As A, x is (m, k): its tiles are [k/16][m/16]. As B, it is (k, n).
    as_a = tiles if transposed else by_columns
    as_b = by_columns if transposed else tiles
    assert_same_bits(in_tiles(x, 1, transposed), as_a.ravel())
    assert_same_bits(in_tiles(x, 0, not transposed), as_b.ravel())


@pytest.mark.parametrize(
    ("shape", "out", "message"),
    [
        ((24, 32, 32), np.float32, "multiples of 16"),
        ((32, 40, 32), np.float32, "multiples of 16"),
        ((32, 32, 56), np.float32, "multiples of 16"),
        ((32, 32, 32), BF16, "f32 sums"),
    ],
)
def test_calls_in_tiles_that_the_kernel_cannot_serve_are_refused(
    kernels, shape, out, message
):
    m, k, n = shape
    a, b, c = np.zeros((m, k), BF16), np.zeros((k, n), BF16), np.zeros((m, n), out)
    with pytest.raises(ValueError, match=message):
        kernels.matmul_tiles(a, b, c)
