"""A program that comes from anywhere ends in an error or a result, never in a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jax_npu

PROGRAM = Path(__file__).parent / "mutated_programs.py"
TIMEOUT_SECONDS = 300  # half a minute, and ten times as long under a sanitizer


@pytest.mark.parametrize(
    ("kind", "count"), [("host", 300), ("pack", 100), ("sim", 150), ("words", 80)]
)
def test_mutated_programs_end_in_an_error_or_a_result(kind, count):
    if kind in ("sim", "words") and not jax_npu.backends()["sim"].available:
        pytest.skip("sim cannot run here")
    process = subprocess.Popen(
        [sys.executable, PROGRAM, kind, str(count)],
        env={**os.environ, "JAX_NPU_WATCHDOG_SECONDS": "30"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, log = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, log = process.communicate()
    # The last lines name the seed that was running.
    assert process.returncode == 0, log[-4000:]
    outcomes = json.loads(out)
    assert sum(outcomes.values()) == count
    # Programs that jax did not write, or that all fail or pass, would test little.
    assert outcomes["unlowered"] <= count // 20
    assert min(outcomes["results"], outcomes["refused"]) >= count // 10
