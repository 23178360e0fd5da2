"""Training over two processes with `jax.distributed`, as in one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).parent / "train_mlp.py"
SECONDS = 180  # a process that waits longer for the other is killed
# Relative: sums over devices in another order, and what the next rounding to bf16
# makes of that in a few of many operands.
LOSS_TOLERANCE = 1e-5


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def losses(split, num_processes):
    """The losses that process 0 prints; all processes must end well, and in time."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_NPU_BACKEND": "host",
        "JAX_PLATFORMS": "cpu",
    }
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, PROGRAM, split, str(port), str(num_processes), str(i)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(num_processes)
    ]
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors[-3000:]
    return json.loads(outputs[0][0].splitlines()[-1])  # after Gloo's own lines


@pytest.mark.parametrize("split", ["data-parallel", "fsdp"])
def test_two_processes_train_as_one_process_does(split):
    one, two = losses(split, 1), losses(split, 2)
    np.testing.assert_allclose(two, one, rtol=LOSS_TOLERANCE)
    assert one[-1] < one[0] * 0.9
