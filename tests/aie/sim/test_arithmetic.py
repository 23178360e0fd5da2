"""Whole products on the array have the bits of the model in NumPy."""

import ml_dtypes
import numpy as np
import pytest

BF16 = ml_dtypes.bfloat16
SMALL = {"m": 16, "k": 8, "n": 16}
MIDDLE = {"m": 32, "k": 64, "n": 32}
LARGE = {"m": 64, "k": 64, "n": 64}
# Device, the virtual NPU's arithmetic, the model's name for it.
ARITHMETICS = [
    ("npu1", "exact", "exact"),
    ("npu2", "exact", "sequential"),
    ("npu2", "bfp16", "bfp16"),
    ("npu2", "bfp16_floor", "bfp16_floor"),
]


def moderate(rng, shape):
    """Signed numbers of all magnitudes whose products the model's long doubles hold."""
    scale = 2.0 ** rng.integers(-12, 12, shape)
    return (rng.standard_normal(shape) * scale).astype(BF16)


def any_bits(rng, shape):
    """Any bits, with denormals, infinities and NaN."""
    return rng.integers(0, 1 << 16, shape).astype(np.uint16).view(BF16)


def special(rng, shape):
    """Moderate numbers with some infinities, NaN, denormals and both zeros."""
    x = moderate(rng, shape)
    chosen = rng.random(shape) < 0.01
    values = [0x7F80, 0xFF80, 0x7FC0, 0x0001, 0x807F, 0x8000, 0x0000, 0x7F7F]
    x.view(np.uint16)[chosen] = rng.choice(values, chosen.sum())
    return x


def cancelling(rng, a_shape, b_shape):
    """Operands in pairs along k whose products nearly cancel."""
    a, b = moderate(rng, a_shape), moderate(rng, b_shape)
    a[..., 1::2], b[..., 1::2, :] = -a[..., ::2], b[..., ::2, :]
    changed = rng.random(a[..., 1::2].shape) < 0.3
    a.view(np.uint16)[..., 1::2][changed] ^= 1
    return a, b


def both(values):
    return lambda rng, a_shape, b_shape: (values(rng, a_shape), values(rng, b_shape))


OPERANDS = {
    "moderate": both(moderate),
    "any bits": both(any_bits),
    "special": both(special),
    "cancelling": cancelling,
}


@pytest.mark.parametrize("values", ["moderate", "special", "cancelling"])
@pytest.mark.parametrize(("device", "arithmetic", "modelled"), ARITHMETICS)
def test_product_has_the_bits_of_the_model(
    make_gemm, rng, model, assert_same_bits, device, arithmetic, modelled, values
):
    gemm = make_gemm(device, (1, 100, 20, 200), **SMALL)
    check(gemm, arithmetic, modelled, values, rng, model, assert_same_bits)


@pytest.mark.parametrize("b_column_major", [False, True])
@pytest.mark.parametrize("out", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", [SMALL, MIDDLE, {"m": 16, "k": 24, "n": 48}], ids=str)
@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_every_array_has_the_bits_of_the_model(
    make_gemm, rng, model, assert_same_bits, device, tile, out, b_column_major
):
    options = {"out": out, "b_column_major": b_column_major}
    k = 3 * tile["k"]
    gemm = make_gemm(device, (1, 5 * tile["m"], k, 2 * tile["n"]), **tile, **options)
    modelled = "exact" if device == "npu1" else "sequential"
    values = "any bits" if device == "npu1" else "moderate"
    check(gemm, "exact", modelled, values, rng, model, assert_same_bits)


@pytest.mark.parametrize(("device", "arithmetic", "modelled"), ARITHMETICS)
def test_default_tile_has_the_bits_of_the_model(
    make_gemm, rng, model, assert_same_bits, device, arithmetic, modelled
):
    gemm = make_gemm(device, (1, 64, 128, 64), **LARGE)
    check(gemm, arithmetic, modelled, "moderate", rng, model, assert_same_bits)


def test_fast_arithmetic_is_that_of_f32(make_gemm, rng):
    gemm = make_gemm("npu1", (1, 128, 24, 128))
    a, b = gemm.small_integers(rng)
    buffers = gemm.buffers(a, b)
    report = gemm.npu("fast").run(gemm.words, buffers)
    assert report.arithmetic == "fast"
    np.testing.assert_array_equal(buffers[2], a.astype("f4") @ b.astype("f4"))


def test_arithmetic_of_the_other_npu_is_refused(make_gemm):
    gemm = make_gemm("npu1", (1, 64, 8, 64))
    with pytest.raises(ValueError, match="bfp16 is npu2's; npu1 has exact and fast"):
        gemm.npu("bfp16")
    with pytest.raises(ValueError, match="exact, bfp16, bfp16_floor or fast, got 'f'"):
        gemm.npu("f")


def check(gemm, arithmetic, modelled, values, rng, model, assert_same_bits):
    a, b = OPERANDS[values](rng, gemm.a_shape, gemm.b_shape)
    npu = gemm.npu(arithmetic)
    for _ in range(2):
        buffers = gemm.buffers(a, b)
        npu.run(gemm.words, buffers)
    for x, y, actual in zip(a, b, buffers[2]):
        # Accumulated in f32 also where C is bf16, and rounded once.
        c = model(x, y, np.zeros((x.shape[0], y.shape[1]), np.float32), modelled)
        with np.errstate(over="ignore"):
            assert_same_bits(actual, c.astype(actual.dtype))
