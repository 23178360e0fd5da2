"""Fixtures for every folder: the backend under test, random data, the reference."""

import os

# Its threads spin while they wait, on cores that the other worker needs. NumPy reads
# it when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import ctypes
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime import extension
from jax_npu.runtime.environment import HOST_ISA, PLACE, SMALL_PRODUCTS
from jax_npu.runtime.target import DRIVERS

from .contractions import ACCUMULATION_ERROR, expected_contraction

TREE_VARIABLE = "JAX_NPU_XRT_TREE"

# XLA's own loops as LLVM first makes them: compiling takes most of the tests' time.
FAST_TO_COMPILE = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
if version("jaxlib").startswith("0.10."):
    # The emitters of fusions before MLIR's: half the time. Later releases lack them.
    FAST_TO_COMPILE += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", FAST_TO_COMPILE)  # XLA reads it when it starts

# Most tests have small products, and it is the call that they test.
os.environ.setdefault(SMALL_PRODUCTS.name, "call")

# What tests run on an NPU is meant to run there.
os.environ.setdefault(PLACE.name, "npu")

COMPILED_PROGRAMS = "JAX_COMPILATION_CACHE_DIR"

BACKENDS = ("xla", "host", "sim")
if chosen := os.environ.get("JAX_NPU_BACKEND"):
    BACKENDS = (jax_npu.resolve_backend(chosen),)
CUSTOM_CALL_BACKENDS = tuple(name for name in BACKENDS if name != "xla")

INSTRUCTION_SETS = tuple(HOST_ISA.choices)

# (m, k, n) of one training step of GPT-2 124M with 4 x 64 tokens
GPT2_SHAPES = [
    (256, 768, 2304),
    (256, 768, 768),
    (256, 768, 3072),
    (256, 3072, 768),
    (256, 2304, 768),
    (2304, 256, 768),
    (768, 256, 768),
    (3072, 256, 768),
    (768, 256, 3072),
    (256, 768, 50304),
    (256, 50304, 768),
    (50304, 256, 768),
]


def pytest_configure(config):
    """Lets all processes of a run read what one of them compiled, in a new folder."""
    if COMPILED_PROGRAMS in os.environ:  # by the process that started this one
        return
    folder = tempfile.mkdtemp(prefix="compiled-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    minimum = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    for name, value in {COMPILED_PROGRAMS: folder, minimum: 0.0}.items():
        os.environ[name] = str(value)
        jax.config.update(name.lower(), value)


def pytest_collection_modifyitems(items):
    for item in items:
        if "run_python" in item.fixturenames:
            item.add_marker("process")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Runs the test once on each backend, or only on that of $JAX_NPU_BACKEND."""
    with jax_npu.backend(request.param):
        yield request.param


@pytest.fixture(params=CUSTOM_CALL_BACKENDS)
def custom_call_backend(request):
    """Runs the test on each backend that has a custom call, so not on `xla`."""
    with jax_npu.backend(request.param):
        yield request.param


@pytest.fixture(params=INSTRUCTION_SETS)
def isa(request, monkeypatch):
    """Runs the test on `host` with each instruction set, which is read at each call."""
    monkeypatch.setenv("JAX_NPU_HOST_ISA", request.param)
    if not jax_npu.backends()["host"].available:
        pytest.skip(f"this CPU does not run {request.param}")
    with jax_npu.backend("host"):
        yield request.param


@pytest.fixture
def instruction_sets():
    """The values of fixture `isa`, all at once."""
    return INSTRUCTION_SETS


@pytest.fixture(scope="session")
def run_python():
    """A function that runs a program in its own Python process.

    `loader` is what starts Python: a dynamic linker and its options. Of the variables
    that begin with JAX_NPU_, the process has only those given.
    """

    def run(program, *loader, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NPU_")}
        return subprocess.run(
            [*loader, sys.executable, "-c", program],
            env={**clean, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def xrt_tree():
    """The folder that `.ci/unpack-xrt` filled, named by $JAX_NPU_XRT_TREE."""
    tree = os.environ.get(TREE_VARIABLE)
    if not tree:
        pytest.skip(f"${TREE_VARIABLE} names no tree made by .ci/unpack-xrt")
    try:
        command = [f"{tree}/run", "aiebu-asm", "--help"]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"${TREE_VARIABLE} is no working tree: {error}")
    return Path(tree)


@pytest.fixture(scope="session")
def xrt_headers(xrt_tree):
    """The folder of XRT's headers, in `xrt_tree`."""
    return xrt_tree / "usr" / "include"


class VirtualXrt:
    """The virtual XRT of this process: its faults, and the objects alive in it."""

    def __init__(self):
        self.library = ctypes.CDLL(str(extension.library_path(DRIVERS["sim"])))
        self.library.jax_npu_sim_set_faults.restype = ctypes.c_char_p
        self.library.jax_npu_sim_faults_json.restype = ctypes.c_char_p
        self.library.jax_npu_sim_num_buffers.restype = ctypes.c_int64
        self.library.jax_npu_sim_num_contexts.restype = ctypes.c_int64

    def set_faults(self, spec):
        """Sets faults, as `aie/sim/README.md` describes, and all counts to zero."""
        if error := self.library.jax_npu_sim_set_faults(spec.encode()):
            raise ValueError(error.decode())

    def forget_health(self):
        """Forgets the results that were wrong, and the shapes that were checked."""
        extension.load().jax_npu_forget_health()

    @contextmanager
    def held(self):
        """Holds the device: no command begins."""
        self.library.jax_npu_sim_hold(1)
        try:
            yield
        finally:
            self.library.jax_npu_sim_hold(0)

    @property
    def faults(self):
        """How often each fault happened since the faults were set."""
        return self._counts()["faults"]

    @property
    def calls(self):
        """How many calls of each kind there were since the faults were set."""
        return self._counts()["calls"]

    def _counts(self):
        return json.loads(self.library.jax_npu_sim_faults_json())

    @property
    def num_buffers(self):
        return self.library.jax_npu_sim_num_buffers()

    @property
    def num_contexts(self):
        return self.library.jax_npu_sim_num_contexts()


def make_a_tested_context():
    """Makes a context on `sim`, so that no test's first run is a self-test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_NPU_CHECK", "first")
        patch.setenv("JAX_NPU_STRICT", "0")
        multiply = jax.jit(lambda x: jax_npu.matmul(x, x, backend="sim"))
        multiply(np.ones((2, 2), np.float32)).block_until_ready()


@pytest.fixture(autouse=True, scope="module")
def forget_what_was_traced():
    """A process that keeps thousands of programs compiles the next one slower."""
    yield
    jax.clear_caches()


@pytest.fixture
def virtual_xrt():
    if "sim" not in BACKENDS:
        pytest.skip("sim is not under test")
    xrt = VirtualXrt()
    xrt.set_faults("")
    xrt.forget_health()
    make_a_tested_context()
    xrt.set_faults("")
    xrt.forget_health()
    yield xrt
    xrt.set_faults("")
    xrt.forget_health()


@pytest.fixture
def events():
    """A function that counts an event of `jax_npu.npu_events()` in this test."""
    before = jax_npu.npu_events()
    return lambda name: jax_npu.npu_events()[name] - before[name]


@pytest.fixture(params=GPT2_SHAPES, ids=str)
def gpt2_shape(request):
    return request.param


@pytest.fixture
def gpt2_shapes():
    """The values of fixture `gpt2_shape`, all at once."""
    return GPT2_SHAPES


@pytest.fixture
def rng():
    return np.random.default_rng(20250403)


@pytest.fixture
def assert_contraction():
    """Checks a result against NumPy in float64, within f32 accumulation error."""

    def check(actual, subscripts, lhs, rhs, backend, error=ACCUMULATION_ERROR):
        out = actual.dtype
        expected_contraction(subscripts, lhs, rhs, out, backend, error).check(actual)

    return check
