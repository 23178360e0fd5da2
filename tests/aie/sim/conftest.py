"""Designs, streams, operands and a program of XRT for the virtual NPU."""

import functools
import os
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jax_npu.runtime.extension import library_path
from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import make_plan
from xdna.load.configuration import configuration
from xdna.simulator import Kernel, VirtualNpu
from xdna.simulator.library import LIBRARY
from xdna.stream.instructions import Sync, encode

BF16 = ml_dtypes.bfloat16
SAMPLE = Path(__file__).parent.parent / "xdna" / "data"
ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).parent / "virtual_xrt_main.cc"
POISON = 0xA5  # every byte of C before a run


@functools.cache
def gemm_configuration(array):
    return configuration(gemm_design(array))


@pytest.fixture
def configured():
    """A function of an array: the configuration of its design, made once a session."""
    return gemm_configuration


class GemmRun:
    """A product in one run of the array, with its stream and its images in DDR."""

    def __init__(self, array, batch, m, k, n):
        self.array = array
        self.plan = make_plan(array, batch, m, k, n)
        (self.run,) = self.plan.runs
        self.words = run_words(self.plan, self.run)
        self.configuration = gemm_configuration(array)
        size = self.plan.padded
        self.a_shape = size.batch, size.m, size.k
        self.b_shape = size.batch, size.k, size.n
        self.c_shape = size.batch, size.m, size.n

    def small_integers(self, rng):
        """A and B whose products are exact in any order and arithmetic."""
        return tuple(
            rng.integers(-4, 5, shape).astype(BF16)
            for shape in (self.a_shape, self.b_shape)
        )

    def buffers(self, a, b, c=None):
        """New arguments for the run; without `c`, C is poisoned."""
        if self.array.b_column_major:
            b = b.swapaxes(1, 2)
        dtype = {"float32": np.float32, "bfloat16": BF16}[self.array.out]
        if c is None:
            c = np.empty(self.c_shape, dtype)
            c.view(np.uint8)[...] = POISON
        return [x.astype(x.dtype, order="C") for x in (a, b, c.astype(dtype))]

    def npu(self, arithmetic="exact"):
        return VirtualNpu(
            self.configuration, arithmetic, b_column_major=self.array.b_column_major
        )


@pytest.fixture(scope="session")
def make_gemm():
    """A function of device, (batch, m, k, n) and the array's options."""

    def make(device_name, sizes, **options):
        options = {"m": 16, "k": 8, "n": 16} | options
        return GemmRun(GemmArray(device_name, **options), *sizes)

    return make


@pytest.fixture(scope="session")
def small_gemm(make_gemm):
    """2 x 2 blocks of two k steps each, on npu1."""
    return make_gemm("npu1", (1, 128, 16, 128))


@pytest.fixture
def scale():
    """The kernel that the sample design calls, which doubles."""

    def run(x, y):
        y[...] = (2 * x.astype(np.float32)).astype(BF16)

    return Kernel("scale_bf16", run, "rw", [BF16, BF16], cycles=100)


@pytest.fixture(scope="session")
def sample_configuration():
    text = (SAMPLE / "sample.lowered.generic.mlir").read_text()
    return configuration(parse_module(text))


@pytest.fixture(scope="session")
def sample_words():
    """The words that aie-translate 1.3 makes of the sample's runtime sequence."""
    text = (SAMPLE / "sample.insts.hex").read_text()
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.fixture
def sample_buffers(rng):
    x = rng.standard_normal((32, 16)).astype(BF16)
    return [x, np.zeros((4, 128), BF16)]


@pytest.fixture(scope="session")
def compile_program():
    """A function that compiles the C++ program with the options it gets."""
    command = ["g++", "-std=c++17", "-pthread", "-Wall", "-Wextra", "-Werror", PROGRAM]
    return lambda *options: subprocess.run([*command, *options], check=True)


@pytest.fixture(scope="session")
def program(tmp_path_factory, compile_program):
    path = tmp_path_factory.mktemp("virtual_xrt") / "main"
    library = library_path(LIBRARY)
    headers = ["-I", ROOT, "-I", ROOT / "aie" / "sim" / "xrt"]
    link = [library, f"-Wl,-rpath,{library.parent}"]
    compile_program(*headers, "-o", path, *link)
    return path


class Folder:
    """The files that the program reads, and the two results that C may have."""

    def __init__(self, path, gemm, rng):
        self.path, self.gemm = path, gemm
        a, b = gemm.small_integers(rng)
        images = dict(zip("abc", gemm.buffers(a, b)))
        self.untouched = images["c"].copy()
        self.right = a.astype(np.float32) @ b.astype(np.float32)
        for name, image in images.items():
            image.tofile(path / name)
        gemm.words.astype("<u4").tofile(path / "words")
        never = encode(device(gemm.array.device_name), [Sync(0, 0, "S2MM", 0)])
        np.asarray(never, "<u4").tofile(path / "hang")
        self.write_design(gemm.configuration)

    def write_design(self, text):
        (self.path / "design").write_text(text)

    @property
    def c(self):
        c = np.fromfile(self.path / "c", np.float32).reshape(self.right.shape)
        if np.array_equal(c, self.right):
            return "right"
        bits = c.view(np.uint32), self.untouched.view(np.uint32)
        return "untouched" if np.array_equal(*bits) else "wrong"


@pytest.fixture
def make_folder(tmp_path, rng):
    return lambda gemm: Folder(tmp_path, gemm, rng)


@pytest.fixture
def folder(make_folder, small_gemm):
    return make_folder(small_gemm)


@pytest.fixture
def execute(program, folder):
    """A function that runs the program on a case, with variables of its environment."""

    def execute(case, **environment):
        return subprocess.run(
            [program, case, folder.path],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return execute


@pytest.fixture(params=["on", "off"])
def either(request):
    return request.param
