"""The imports of xdna: no JAX anywhere, and no xDSL where JAX programs are lowered."""

import subprocess
import sys
from pathlib import Path

import pytest

import xdna

SOURCES = Path(xdna.__file__).parent
MODULES = sorted(
    ".".join(("xdna", *path.relative_to(SOURCES).with_suffix("").parts))
    for path in SOURCES.rglob("*.py")
    if path.name != "__init__.py"
)
# They are imported whenever a program with an NPU's custom call is lowered.
LOWERING = ("xdna.gemm.array", "xdna.gemm.artifact", "xdna.gemm.stream")


def loaded_after_importing(*modules):
    """Top-level packages in `sys.modules` of a new process."""
    lines = [
        "import importlib, sys",
        *(f"importlib.import_module({module!r})" for module in modules),
        "print(*{name.split('.')[0] for name in sys.modules})",
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_no_module_of_xdna_imports_jax():
    assert len(MODULES) > 40
    loaded = loaded_after_importing(*MODULES)
    assert {"xdna", "xdsl", "numpy"} <= loaded
    assert not loaded & {"jax", "jaxlib", "jax_npu"}


@pytest.mark.parametrize("module", LOWERING)
def test_what_lowering_imports_does_not_load_xdsl(module):
    loaded = loaded_after_importing(module)
    assert "xdna" in loaded
    assert "xdsl" not in loaded
