"""jax's private names: a version that lacks one ends in one clear error."""

import jax
import pytest

from jax_npu.jax_private import guarded, supported

WITHOUT_A_NAME = """
import jax
from jax._src import core
from jax._src.interpreters import mlir
del mlir.build_mlir_module_helper
"""
MESSAGE = f"jax-npu needs {supported('jax')}, got jax {jax.__version__}, which lacks"


def test_a_name_that_has_moved_is_an_error_of_the_import(run_python):
    done = run_python(WITHOUT_A_NAME + "import jax_npu")
    last = done.stderr.splitlines()[-1]
    assert MESSAGE in last
    assert "build_mlir_module_helper" in last
    assert last.endswith(f"pip install '{supported('jax')}'")


def test_jax_runs_on_without_the_plugin(run_python):
    program = "print(jax.devices()[0].platform, float(jax.numpy.ones(3).sum()))"
    done = run_python(WITHOUT_A_NAME + program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cpu 3.0\n"
    assert MESSAGE in done.stderr


def test_an_attribute_that_has_moved_is_the_same_error():
    @guarded()
    @guarded()
    def read(trace):
        return trace.frame

    with pytest.raises(ImportError, match=r"which lacks a private name.*'frame'"):
        read(object())


def test_what_is_supported_is_what_pip_installs():
    assert supported("jax").startswith("jax<") or supported("jax").startswith("jax>=")
    assert supported("jaxlib") == supported("jax").replace("jax", "jaxlib")
