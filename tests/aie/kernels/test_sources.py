"""The kernels' sources: what they include, that g++ compiles them, their symbols."""

import ctypes
import itertools
import re
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from xdna.gemm.programs.kernel_calls import BEGINS_C

from .layouts import aligned, in_tiles, tiled, untiled

KERNELS = Path(__file__).parents[3] / "aie" / "kernels"
SOURCES = sorted(KERNELS.glob("*.cc"))
SYMBOLS = {
    "convert.cc": ["convert_f32_bf16"],
    "matmul.cc": ["matmul_bf16_f32", "matmul_bf16_bf16"],
    "matmul_tiles.cc": ["matmul_tiles_bf16_f32"],
    "zero.cc": ["zero_f32", "zero_bf16"],
}


def compiled(source, folder, *macros):
    library = folder / "kernel.so"
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    flags += ["-fno-gnu-unique"]  # a library's rounding mode is its own
    defines = ["-D" + macro for macro in macros]
    paths = ["-I", KERNELS / "host", source, "-o", library]
    subprocess.run(["g++", *flags, *defines, *paths], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_kernel_includes_nothing_but_aie_api(source):
    includes = re.findall(r"#\s*include\s*(\S+)", source.read_text())
    assert includes == ["<aie_api/aie.hpp>"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_kernel_has_its_symbols(source, tmp_path):
    sizes = ["DIM_M=32", "DIM_K=32", "DIM_N=32"]
    library = compiled(source, tmp_path, *sizes)
    for symbol in SYMBOLS[source.name]:
        assert hasattr(library, symbol)


@pytest.mark.parametrize("out", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("macros", [[], ["B_COL_MAJ"], ["MMUL_8X8X8"]])
def test_the_symbol_is_the_kernel_of_its_macros(
    fastest, rng, assert_same_bits, tmp_path, macros, out
):
    sizes = ["DIM_M=32", "DIM_K=16", "DIM_N=32"]
    library = compiled(KERNELS / "matmul.cc", tmp_path, *sizes, *macros)

    name = "matmul_bf16_f32" if out == np.float32 else "matmul_bf16_bf16"

    def through_symbol(call, *buffers):
        library[name](*(ctypes.c_void_p(x) for x in buffers))

    a = rng.standard_normal((32, 16)).astype(ml_dtypes.bfloat16)
    b = rng.standard_normal((16, 32)).astype(ml_dtypes.bfloat16)
    c = rng.standard_normal((32, 32)).astype(out)
    options = {
        "mmul_size": 8 if "MMUL_8X8X8" in macros else 4,
        "b_col_major": "B_COL_MAJ" in macros,
    }
    expected = fastest.matmul(a, b, c, **options)
    fastest.run_matmul = through_symbol
    assert_same_bits(fastest.matmul(a, b, c, **options), expected)


@pytest.mark.parametrize("macros", [[], ["MMUL_8X8X8"]])
def test_the_symbols_multiply_tiles_in_any_order(
    fastest, rng, assert_same_bits, tmp_path, macros
):
    sizes = ["DIM_M=16", "DIM_K=32", "DIM_N=96"]
    library = compiled(KERNELS / "matmul_tiles.cc", tmp_path, *sizes, *macros)
    a = rng.standard_normal((16, 32)).astype(ml_dtypes.bfloat16)
    b = rng.standard_normal((32, 96)).astype(ml_dtypes.bfloat16)
    c = rng.standard_normal((16, 96)).astype(np.float32)
    mmul_size = 8 if macros else 4
    expected = {
        0: fastest.matmul(a, b, c, mmul_size),
        BEGINS_C: fastest.matmul(a, b, 0 * c, mmul_size),
    }
    for orders, begins in itertools.product(range(4), expected):
        buffers = [aligned(in_tiles(a, 1, orders & 1))]
        buffers += [aligned(in_tiles(b, 0, not orders & 2))]
        buffers += [aligned(tiled(c, mmul_size, mmul_size))]
        pointers = (ctypes.c_void_p(x.ctypes.data) for x in buffers)
        library.matmul_tiles_bf16_f32(*pointers, orders | begins)
        actual = untiled(buffers[2], 16, 96, mmul_size, mmul_size)
        assert_same_bits(actual, expected[begins])


def test_all_kernels_compile_in_one_file(tmp_path):
    source = tmp_path / "all.cc"
    source.write_text("".join(f'#include "{path}"\n' for path in SOURCES))
    sizes = ["DIM_M=32", "DIM_K=32", "DIM_N=32"]
    library = compiled(source, tmp_path, *sizes)
    for symbols in SYMBOLS.values():
        assert all(hasattr(library, symbol) for symbol in symbols)


def test_the_symbol_rounds_to_nearest_even(rng, tmp_path):
    library = compiled(KERNELS / "convert.cc", tmp_path, "DIM_M=16", "DIM_N=16")
    x = rng.standard_normal(256).astype(np.float32)
    out = np.zeros(256, ml_dtypes.bfloat16)
    library.convert_f32_bf16(
        ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(out.ctypes.data)
    )
    assert (out == x.astype(ml_dtypes.bfloat16)).all()
