"""Products over several devices, in processes that have four or eight of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "num_devices"),
    [
        ("four_devices.py", 4),
        ("eight_devices.py", 8),
        pytest.param("mixed_meshes.py", 4, marks=pytest.mark.slow),
        pytest.param("odd_meshes.py", 8, marks=pytest.mark.slow),
    ],
)
def test_products_on_several_devices_pass_their_own_tests(name, num_devices):
    devices = f"--xla_force_host_platform_device_count={num_devices}"
    flags = f"{os.environ['XLA_FLAGS']} {devices}"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", Path(__file__).parent / name],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
