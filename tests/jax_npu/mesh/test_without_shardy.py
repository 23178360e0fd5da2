"""With Shardy switched off, products end as those of lax do."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "without_shardy.py"


def test_without_shardy_products_are_those_of_lax_or_refused_like_them():
    run = subprocess.run(
        [sys.executable, PROGRAM],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_USE_SHARDY_PARTITIONER": "0",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]  # the process does not abort
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(outcomes) == 10
    for name, ours, stock in outcomes:
        assert ours == stock, name
    refused = [name for name, ours, _ in outcomes if isinstance(ours, str)]
    assert refused == ["unreduced"]  # jax 0.10.2 lowers this type for Shardy alone
