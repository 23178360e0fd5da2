"""The compiled kernels, called on matrices in plain order, and a model of each."""

import ctypes
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import jax_npu

LIBRARY = "libaie_kernels.so"
INSTRUCTION_SETS = ("avx512", "avx2", "portable", "reference")
ARITHMETICS = ("exact", "sequential", "bfp16", "bfp16_floor", "fast")
BF16 = ml_dtypes.bfloat16
NAN_BITS = 0x7FC00000
SMALLEST = 2.0**-126


class Call(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint if name in "mkn" else ctypes.c_int)
        for name in (
            "mmul_size",
            "arithmetic",
            "m",
            "k",
            "n",
            "b_col_major",
            "bf16_out",
        )
    )


class Table(ctypes.Structure):
    _fields_ = (
        ("isa", ctypes.c_char_p),
        (
            "matmul",
            ctypes.CFUNCTYPE(
                ctypes.c_char_p, ctypes.POINTER(Call), *3 * [ctypes.c_void_p]
            ),
        ),
        (
            "zero",
            ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p),
        ),
        (
            "convert",
            ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, *2 * [ctypes.c_void_p]),
        ),
    )


def aligned(x, offset_bytes=0):
    """A flat copy on 64 bytes, or that far from it."""
    memory = np.empty(x.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset_bytes
    copy = memory[start : start + x.nbytes].view(x.dtype)
    copy[...] = x.ravel()
    return copy


def tiled(x, rows, cols):
    """A matrix as blocks of (rows, cols), in the order of a core's memory."""
    m, n = x.shape
    return x.reshape(m // rows, rows, n // cols, cols).transpose(0, 2, 1, 3)


def untiled(x, m, n, rows, cols):
    return (
        x.reshape(m // rows, n // cols, rows, cols).transpose(0, 2, 1, 3).reshape(m, n)
    )


class Kernels:
    """One table of kernels."""

    def __init__(self, table):
        self.run_matmul = table.matmul
        self.table = table

    def matmul(
        self,
        a,
        b,
        c,
        mmul_size=4,
        arithmetic="exact",
        b_col_major=False,
        offset_bytes=0,
    ):
        """c + a b in plain order, by one call of the kernel."""
        (m, k), n, size = a.shape, b.shape[1], mmul_size
        call = Call(
            size, ARITHMETICS.index(arithmetic), m, k, n, b_col_major, c.dtype == BF16
        )
        b_block = tiled(b.T, size, 8) if b_col_major else tiled(b, 8, size)
        buffers = [
            aligned(x, offset_bytes)
            for x in (tiled(a, size, 8), b_block, tiled(c, size, size))
        ]
        error = self.run_matmul(call, *(x.ctypes.data for x in buffers))
        if error:
            raise ValueError(error.decode())
        return untiled(buffers[2], m, n, size, size)

    def convert(self, x, conv_even):
        source, out = aligned(x), aligned(np.zeros(x.shape, BF16))
        self.table.convert(conv_even, x.size, source.ctypes.data, out.ctypes.data)
        return out

    def zero(self, x):
        out = aligned(x)
        self.table.zero(x.dtype == BF16, x.size, out.ctypes.data)
        return out


def load():
    for folder in jax_npu.__path__:
        if (path := Path(folder) / LIBRARY).exists():
            library = ctypes.CDLL(str(path))
            library.aie_kernels.restype = ctypes.POINTER(Table)
            library.aie_kernels.argtypes = (ctypes.c_char_p,)
            return library
    raise OSError(f"{LIBRARY} was not built; install the project with pip")


@pytest.fixture(params=INSTRUCTION_SETS)
def kernels(request):
    """The test runs on each instruction set that this CPU has."""
    table = load().aie_kernels(request.param.encode())
    if not table:
        pytest.skip(f"this CPU does not run {request.param}")
    return Kernels(table.contents)


@pytest.fixture
def fastest():
    return Kernels(load().aie_kernels(None).contents)


def bits(x):
    return x.view(np.uint16 if x.dtype == BF16 else np.uint32)


def fields(x):
    """Biased exponents; a denormal's is 1."""
    mantissa_bits = 7 if x.dtype == BF16 else 23
    return np.maximum(bits(x) >> mantissa_bits & 255, 1).astype(np.int64)


def to_f32(x):
    """As an accumulator keeps it: flushed, one zero, one NaN."""
    with np.errstate(over="ignore"):
        x = np.where(np.abs(x) < SMALLEST, 0, x).astype(np.float32)
    bits(x)[np.isnan(x)] = NAN_BITS
    return x


def exact_block(acc, a, b):
    """One k-block of AIE2's mac: acc (m, n) + a (m, 8) b (8, n), by scaling."""
    with np.errstate(invalid="ignore", over="ignore"):
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
    """One product at a time; the extended sum is exact for moderate exponents."""
    for k in range(8):
        product = a[:, k, None].astype(np.longdouble) * b[k].astype(np.longdouble)
        acc = to_f32(acc + product)
    return acc


def bfp16_block(acc, a, b, rounding=np.rint):
    def mantissas(x, axis):
        exponent = (fields(x).max(axis=axis, keepdims=True) - 127 - 6).astype(np.int32)
        scaled = np.ldexp(x.astype(np.float64), -exponent)
        return np.minimum(rounding(scaled), 127), exponent

    (a, a_exponent), (b, b_exponent) = mantissas(a, 1), mantissas(b, 0)
    return to_f32(
        acc + np.ldexp((a @ b).astype(np.longdouble), a_exponent + b_exponent)
    )


BLOCK_MODELS = {
    "exact": exact_block,
    "sequential": sequential_block,
    "bfp16": bfp16_block,
    "bfp16_floor": lambda acc, a, b: bfp16_block(acc, a, b, np.floor),
}


@pytest.fixture
def model():
    """c + a b by blocks of 8 k, in order."""

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
