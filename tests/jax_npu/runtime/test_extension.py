"""What `import jax_npu` does and leaves, and programs made by other processes."""

import pickle

import jax
import numpy as np
from jax.experimental import serialize_executable

import jax_npu
from jax_npu.runtime import extension

RUN = """
import pickle, sys
import jax, jax_npu, numpy as np
from jax.experimental import serialize_executable
x = np.arange(32, dtype=np.float32).reshape(4, 8) % 5
with open({path!r}, "rb") as file:
    program = serialize_executable.deserialize_and_load(*pickle.load(file))
np.testing.assert_array_equal(program(x, x.T), x @ x.T)
"""


def test_a_program_runs_in_a_process_that_only_imports_the_package(
    custom_call_backend, tmp_path, run_python
):
    x = np.ones((4, 8), np.float32)
    lowered = jax.jit(jax_npu.matmul).lower(x, x.T)
    assert "/" not in lowered.as_text()  # no path of this machine
    path = tmp_path / "program"
    path.write_bytes(pickle.dumps(serialize_executable.serialize(lowered.compile())))
    # Another user's cache, in which no design lies yet.
    done = run_python(RUN.format(path=str(path)), XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_the_import_leaves_drivers_backends_and_slow_packages_alone(run_python):
    done = run_python(
        """
import sys
import jax_npu
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
for name in ("rich", "xdsl", "xdna.gemm"):
    assert name not in sys.modules, name
maps = open("/proc/self/maps").read()
assert "libxla_ffi.so" in maps
for name in ("libnpu_", "libaie_", "libxrt"):
    assert name not in maps, name
"""
    )
    assert done.returncode == 0, done.stderr


PRODUCTS = """
import jax_npu, numpy as np
x = np.ones((1, 1), np.float32)
print(jax_npu.matmul(x, x, backend="xla"))
jax_npu.matmul(x, x, backend="host")
"""


def test_without_the_extension_the_import_works_and_a_product_says_what_is_missing(
    tmp_path, run_python
):
    done = run_python(PRODUCTS, JAX_NPU_LIBRARY_DIR=str(tmp_path))
    assert done.stdout == "[[1.]]\n"
    assert "libxla_ffi.so was not built" in done.stderr


def test_an_extension_of_older_sources_says_so(tmp_path, run_python):
    other = extension.library_path("libaie_kernels.so")
    (tmp_path / extension.LIBRARY).symlink_to(other)
    done = run_python(PRODUCTS, JAX_NPU_LIBRARY_DIR=str(tmp_path))
    assert done.stdout == "[[1.]]\n"
    assert "libxla_ffi.so was built from older sources; install" in done.stderr
