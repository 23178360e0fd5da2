"""What jax does with jax-npu in a process that never imports it."""

import os
import subprocess
import sys

import pytest

PRODUCT = """
import sys
import jax, jax.numpy as jnp
x = jnp.full((64, 64), 1.5)
assert jax.jit(jnp.matmul)(x, x)[0, 0] == 144
text = jax.jit(jnp.matmul).lower(x, x).compile().as_text()
print("offloaded" if "xdna_gemm" in text else "stock")
"""


def run(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("backend", ["host", "sim"])
@pytest.mark.parametrize("imports", ["", "import jax_npu\n"])
def test_a_variable_offloads_a_process(backend, imports):
    done = run(imports + PRODUCT, JAX_NPU_OFFLOAD="1", JAX_NPU_BACKEND=backend)
    assert (done.stdout, done.stderr) == ("offloaded\n", "")


@pytest.mark.parametrize("imports", ["", "import jax_npu\n"])
def test_without_the_variable_products_are_stock(imports):
    done = run(imports + PRODUCT, JAX_NPU_BACKEND="host", JAX_NPU_OFFLOAD="")
    assert (done.stdout, done.stderr) == ("stock\n", "")


def test_backend_xla_leaves_an_offloaded_process_stock():
    done = run(PRODUCT, JAX_NPU_OFFLOAD="1", JAX_NPU_BACKEND="xla")
    assert (done.stdout, done.stderr) == ("stock\n", "")


def test_a_backend_that_cannot_run_is_an_error_of_the_first_product():
    done = run(PRODUCT, JAX_NPU_OFFLOAD="1", JAX_NPU_BACKEND="tpu")
    assert done.returncode != 0
    assert "backend must be one of" in done.stderr


def test_wrong_values_and_names_do_not_break_jax_and_are_reported():
    done = run(PRODUCT, JAX_NPU_OFFLOAD="yes", JAX_NPU_BAKEND="sim", JAX_NPU_9="")
    assert done.stdout == "stock\n"
    digit, misspelt, bad = done.stderr.splitlines()
    assert digit.endswith("called JAX_NPU_9; unset it")
    assert misspelt.endswith("JAX_NPU_BAKEND; did you mean JAX_NPU_BACKEND?")
    assert "not offloaded: JAX_NPU_OFFLOAD must be one of 0, 1, got 'yes'" in bad


def test_starting_a_backend_imports_little():
    program = "import sys, jax; jax.devices(); print(*sys.modules, sep='\\n')"
    done = run(program, JAX_NPU_OFFLOAD="")
    modules = done.stdout.split()
    assert "jax_npu.plugin" in modules
    assert {"rich", "xdsl", "jax_npu.primitive.gemm", "jax_npu.offloading"}.isdisjoint(
        modules
    )
