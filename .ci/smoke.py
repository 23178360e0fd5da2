"""Tries an installed jax-npu, without its extras, and prints the release of jax.

It runs a product with its gradient on `host` and on the virtual NPU, starts commands,
and looks at what the wheel holds. It ends with a traceback where something is missing.
"""

import subprocess
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path

import jax
import numpy as np

import jax_npu

BF16_ERROR = 2.0**-7  # of a product of two values that were each rounded to 8 bits


def product_and_gradient(backend):
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in ((40, 24), (24, 56)))

    @jax.jit
    def loss_and_product(a):
        product = jax_npu.matmul(a, b, backend=backend)
        return product.sum(), product

    (_, product), gradient = jax.value_and_grad(loss_and_product, has_aux=True)(a)
    for found, lhs, rhs in (
        (product, a, b),
        (gradient, np.ones((40, 56), np.float32), b.T),
    ):
        mass = abs(lhs).astype(float) @ abs(rhs)
        assert (abs(found - lhs.astype(float) @ rhs) <= BF16_ERROR * mass).all(), (
            backend
        )


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


root = resources.files("jax_npu")
assert "site-packages" in str(root), f"the tree was tried, not the wheel: {root}"
for package in ("jax_npu", "gpt2_flax", "xdna"):
    assert (resources.files(package) / "py.typed").is_file(), package
for name in ("matmul.cc", "host/aie_api/aie.hpp"):
    assert (resources.files("xdna") / "kernels" / name).is_file(), name
for file in metadata.files("jax-npu"):
    # Only the driver of real NPUs, which is opened when one is used, may need XRT.
    if file.suffix == ".so" and file.stem != "libnpu_xrt":
        assert b"libxrt" not in file.locate().read_bytes(), file

for backend in ("host", "sim"):
    product_and_gradient(backend)

with tempfile.TemporaryDirectory() as folder:
    design = str(Path(folder) / "design.mlir")
    assert run("jax-npu", "design", "-o", design)[0] == 0
    assert run("jax-npu", "check", design)[0] == 0
code, text = run("jax-npu", "doctor", "--backend", "host")
assert code == 0, text
code, text = run("gpt2-flax", "--help")
assert code == 0, text
assert "finetune" in text
try:
    metadata.version("flax")
except metadata.PackageNotFoundError:
    code, text = run("gpt2-flax", "train")
    assert code == 2, text
    assert "jax-npu[gpt2]" in text
print(jax.__version__)
sys.exit(0)
