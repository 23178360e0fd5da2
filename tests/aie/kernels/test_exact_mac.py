"""AIE2's mac against integers of any size, on data that finds its corners."""

import ml_dtypes
import numpy as np
import pytest

BF16 = ml_dtypes.bfloat16
M = N = 64  # of one call: 4096 outputs of one k-block each
SPECIALS = [
    0,
    0x8000,
    0x3F80,
    0xBF80,
    0x7F80,
    0xFF80,
    0x7F81,
    0xFFC0,
    1,
    0x8001,
    0x7F7F,
]


def bf16_of(rng, shape, low, high, mantissa=128):
    """Random signs and mantissas, exponent fields in [low, high)."""
    field = rng.integers(low, high, shape)
    word = (
        rng.integers(2, size=shape) << 15
        | field << 7
        | rng.integers(mantissa, size=shape)
    )
    return word.astype(np.uint16).view(BF16)


def f32_of(rng, shape, low, high):
    field = rng.integers(low, high, shape)
    word = (
        rng.integers(2, size=shape) << 31
        | field << 23
        | rng.integers(2**23, size=shape)
    )
    return word.astype(np.uint32).view(np.float32)


def normal(rng):
    a, b = (rng.standard_normal(s).astype(BF16) for s in ((M, 8), (8, N)))
    return a, b, rng.standard_normal((M, N)).astype(np.float32)


def any_bits(rng):
    return (
        bf16_of(rng, (M, 8), 0, 256),
        bf16_of(rng, (8, N), 0, 256),
        f32_of(rng, (M, N), 0, 256),
    )


def wide_spread(rng):
    spread = int(rng.integers(1, 60))
    low = int(rng.integers(1, 255 - spread))
    a = bf16_of(rng, (M, 8), low, low + spread)
    b = bf16_of(rng, (8, N), 254 - low - spread // 2, 255 - low)
    return a, b, f32_of(rng, (M, N), 100, 150)


def denormals(rng):
    a = bf16_of(rng, (M, 8), 0, 3)
    b = bf16_of(rng, (8, N), *((0, 3) if rng.integers(4) == 0 else (110, 140)))
    return a, b, f32_of(rng, (M, N), 0, 4)


def underflow(rng):
    a, b = bf16_of(rng, (M, 8), 50, 60), bf16_of(rng, (8, N), 60, 76)
    c = f32_of(rng, (M, N), 0, 9)
    c[rng.random(c.shape) < 0.2] = 0
    return a, b, c


def overflow(rng):
    a, b = bf16_of(rng, (M, 8), 186, 191), bf16_of(rng, (8, N), 186, 191)
    return a, b, f32_of(rng, (M, N), 250, 255)


def cancellation(rng):
    low = int(rng.integers(80, 170))
    a, b = (bf16_of(rng, shape, low, low + 10) for shape in ((M, 8), (8, N)))
    if rng.integers(2):  # in pairs, with and without a small accumulator
        a[:, 4:], b[4:] = -a[:, :4], b[:4]
        c = f32_of(rng, (M, N), low, low + 40)
        c[rng.random(c.shape) < 0.2] = 0
        return a, b, c
    c = -(a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
    return (
        a,
        b,
        (c.view(np.int32) + rng.integers(-3, 4, c.shape, np.int32)).view(c.dtype),
    )


def ties(rng):
    """Products whose last bits lie about half a unit of the grid."""
    mantissa = 1 << int(rng.integers(1, 8))
    a = bf16_of(rng, (M, 8), 120, 122, mantissa)
    b = bf16_of(rng, (8, N), 120, 122, mantissa)
    above = int(rng.integers(0, 30))
    return a, b, f32_of(rng, (M, N), 113 + above, 115 + above)


def specials(rng):
    a, b = (
        rng.choice(SPECIALS, s, p=[0.5] + [0.05] * 10).astype(np.uint16).view(BF16)
        for s in ((M, 8), (8, N))
    )
    c = rng.choice(SPECIALS, (M, N)).astype(np.uint32) << 16
    return a, b, c.view(np.float32)


CASES = [
    normal, any_bits, wide_spread, denormals, underflow, overflow, cancellation, ties,
    specials,
]  # fmt: skip

SCALE = 300  # integers count units of 2^-300


def term(word, mantissa_bits):
    """An operand as (integer significand, exponent of its last bit)."""
    field = word >> mantissa_bits & 255
    significand = word & ((1 << mantissa_bits) - 1)
    if field:
        significand += 1 << mantissa_bits
    sign = -1 if word >> (mantissa_bits + 8) else 1
    return sign * significand, max(field, 1) - 127 - mantissa_bits


def nearest_even(value, unit):
    quotient, rest = divmod(value, unit)
    return quotient + (2 * rest > unit or (2 * rest == unit and quotient % 2 == 1))


def big_integer_mac(acc, a, b):
    """Bits of acc + a b, all given as bits."""
    numbers = [np.uint32(x << 16).view(np.float32) for x in (*a, *b)]
    if not all(np.isfinite([*numbers, np.uint32(acc).view(np.float32)])):
        terms = [float(x) * float(y) for x, y in zip(numbers[:8], numbers[8:])]
        total = np.float32(sum([*terms, float(np.uint32(acc).view(np.float32))]))
        return 0x7FC00000 if np.isnan(total) else int(total.view(np.uint32))

    values, largest = [], None
    for x, y in [*zip(a, b), (acc, None)]:
        if y is None:
            significand, exponent = term(x, 23)
            top = exponent + 23
        else:
            (x, x_exponent), (y, y_exponent) = term(x, 7), term(y, 7)
            significand, exponent = x * y, x_exponent + y_exponent
            top = exponent + 14
        if significand:
            values.append(significand << (exponent + SCALE))
            largest = top if largest is None else max(largest, top)
    if not values:
        return 0
    unit = 1 << (largest - 23 + SCALE)
    total = sum(nearest_even(value, unit) for value in values) * unit
    magnitude = abs(total)
    if magnitude:
        last = 1 << max(magnitude.bit_length() - 24, 0)
        magnitude = nearest_even(magnitude, last) * last
    if magnitude < 1 << (SCALE - 126):
        return 0
    sign = 0x80000000 if total < 0 else 0
    if magnitude >= 1 << (SCALE + 128):
        return sign | 0x7F800000
    exponent = magnitude.bit_length() - 1
    significand = magnitude >> (exponent - 23)
    return sign | (exponent - SCALE + 127) << 23 | significand & 0x7FFFFF


def check_with_big_integers(kernels, rng, case, num_outputs):
    a, b, c = case(rng)
    result = kernels.matmul(a, b, c).view(np.uint32)
    a, b, c = a.view(np.uint16), b.view(np.uint16), c.view(np.uint32)
    for index in rng.choice(M * N, num_outputs, replace=False).tolist():
        i, j = divmod(index, N)
        operands = int(c[i, j]), a[i].tolist(), b[:, j].tolist()
        expected = big_integer_mac(*operands)
        assert int(result[i, j]) == expected, (
            f"{result[i, j]:#x} for {expected:#x}, of "
            f"{operands[0]:#x} + {[hex(x) for x in operands[1]]} . "
            f"{[hex(x) for x in operands[2]]}"
        )


@pytest.mark.parametrize("case", CASES)
def test_mac_equals_big_integers(kernels, rng, case):
    for _ in range(10):
        check_with_big_integers(kernels, rng, case, 100)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_million_macs_equal_big_integers(fastest, rng, case):
    for _ in range(30):
        check_with_big_integers(fastest, rng, case, M * N)


@pytest.mark.parametrize("mmul_size", [4, 8])
@pytest.mark.parametrize("case", CASES)
def test_a_million_macs_equal_the_model(
    fastest, rng, model, assert_same_bits, case, mmul_size
):
    for _ in range(30):
        a, b, c = case(rng)
        result = fastest.matmul(a, b, c, mmul_size, b_col_major=True)
        assert_same_bits(result, model(a, b, c))


@pytest.mark.parametrize("mmul_size", [4, 8])
@pytest.mark.parametrize("case", CASES)
def test_every_instruction_set_has_the_same_bits(
    kernels, fastest, rng, assert_same_bits, case, mmul_size
):
    for _ in range(4):
        a, b, c = case(rng)
        result = kernels.matmul(a, b, c, mmul_size)
        assert_same_bits(result, fastest.matmul(a, b, c, mmul_size))
