"""The compiled kernels, called on matrices in plain order."""

import ctypes

import ml_dtypes
import numpy as np
import pytest

from jax_npu.runtime.extension import library_path

from .layouts import aligned, in_tiles, tiled, untiled

LIBRARY = "libaie_kernels.so"
INSTRUCTION_SETS = ("avx512", "avx512bf16", "avx2", "portable", "reference")
ARITHMETICS = ("exact", "sequential", "bfp16", "bfp16_floor", "fast")
BF16 = ml_dtypes.bfloat16


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
            "in_tiles",
            "a_transposed",
            "b_transposed",
            "is_first",
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

    def matmul_tiles(
        self,
        a,
        b,
        c,
        mmul_size=4,
        arithmetic="exact",
        orders=0,
        parts=1,
        is_first=False,
    ):
        """c + a b in plain order, by one call of the kernel for each part of rows.

        If `is_first` a b alone.
        """
        (m, n), k = c.shape, b.shape[0]
        a_transposed, b_transposed = orders & 1, orders >> 1
        call = Call(mmul_size, ARITHMETICS.index(arithmetic), m // parts, k, n)
        call.bf16_out, call.in_tiles, call.is_first = c.dtype == BF16, True, is_first
        call.a_transposed, call.b_transposed = a_transposed, b_transposed
        b_block = aligned(in_tiles(b, 0, not b_transposed))
        c_block = aligned(tiled(c, mmul_size, mmul_size))
        for part, rows in enumerate(np.split(a, parts)):
            a_block = aligned(in_tiles(rows, 1, a_transposed))
            of_part = c_block[part * len(rows) * n :]
            buffers = (x.ctypes.data for x in (a_block, b_block, of_part))
            error = self.run_matmul(call, *buffers)
            if error:
                raise ValueError(error.decode())
        return untiled(c_block, m, n, mmul_size, mmul_size)

    def convert(self, x, conv_even):
        source, out = aligned(x), aligned(np.zeros(x.shape, BF16))
        self.table.convert(conv_even, x.size, source.ctypes.data, out.ctypes.data)
        return out

    def zero(self, x):
        out = aligned(x)
        self.table.zero(x.dtype == BF16, x.size, out.ctypes.data)
        return out


def load():
    library = ctypes.CDLL(str(library_path(LIBRARY)))
    library.aie_kernels.restype = ctypes.POINTER(Table)
    library.aie_kernels.argtypes = (ctypes.c_char_p,)
    return library


@pytest.fixture(params=INSTRUCTION_SETS)
def kernels(request):
    """The test runs on each instruction set that this CPU has."""
    table = load().aie_kernels(request.param.encode())
    if not table:
        pytest.skip(f"this CPU does not run {request.param}")
    return Kernels(table.contents)


@pytest.fixture
def reference():
    return Kernels(load().aie_kernels(b"reference").contents)


@pytest.fixture
def fastest():
    return Kernels(load().aie_kernels(None).contents)
