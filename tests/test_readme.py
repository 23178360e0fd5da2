"""The programs of docs/sharding.md run, and do what it says of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[1] / "docs/sharding.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# After a program's losses: the bytes that one device holds of the state.
HELD = """
print("held", sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state)))
"""
# Relative: devices sum in another order, in f32, and bf16 rounds the next operands.
LOSS_TOLERANCE = 1e-3
STEPS = 3


def trainings(programs, num_devices):
    """The losses that each program prints, and the bytes that a device holds then."""
    assert "TrainConfig(steps=20)" in programs[0]
    program = "".join(program + HELD for program in programs)
    done = subprocess.run(
        [sys.executable, "-c", program.replace("steps=20", f"steps={STEPS}")],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_NPU_BACKEND": "host",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    numbers = [float(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(numbers) == len(programs) * (STEPS + 1)
    rows = np.reshape(numbers, (len(programs), STEPS + 1))
    return [(row[:-1], row[-1]) for row in rows]


@pytest.mark.slow
def test_training_on_four_devices_is_that_of_one_and_fsdp_divides_the_state():
    data_parallel, fsdp = BLOCKS
    ((losses, num_bytes),) = trainings([data_parallel], 1)
    on_four = trainings([data_parallel, fsdp], 4)
    for other_losses, _ in on_four:
        np.testing.assert_allclose(other_losses, losses, rtol=LOSS_TOLERANCE)
    held = [held / num_bytes for _, held in on_four]
    assert held[0] == 1
    assert 0.25 <= held[1] < 0.26  # what four devices do not divide stays whole
