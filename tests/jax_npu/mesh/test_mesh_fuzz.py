"""Random products on random meshes, in processes that have eight devices."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEVICES = "--xla_force_host_platform_device_count=8"


def run_cases(first, count):
    command = [sys.executable, Path(__file__).parent / "mesh_fuzz.py", first, count]
    run = subprocess.run(
        list(map(str, command)),
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {DEVICES}",
            "JAX_NPU_SIM_ARITHMETIC": "fast",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]


def test_random_products_on_random_meshes_are_those_of_lax():
    run_cases(0, 12)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1000, 1200])
def test_more_random_products_on_random_meshes_are_those_of_lax(first):
    run_cases(first, 200)
