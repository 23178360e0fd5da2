"""Processes that share a run by `jax.distributed` train as one does."""

import os
import socket
import subprocess
import sys

import pytest

from gpt2_flax import run
from gpt2_flax.commands import train
from gpt2_flax.errors import InputError
from gpt2_flax.training.devices.processes import number

# Relative: devices sum in another order, in f32, and bf16 rounds the next operands.
LOSS_TOLERANCE = 1e-3


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_one_run_that_one_process_continues(tiny_flags, tmp_path):
    flags = [*tiny_flags, "--batch-size", "4", "--tokenizer", "bytes", "--steps", "3"]
    address = f"127.0.0.1:{free_port()}"
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    command = [sys.executable, "-m", "gpt2_flax.commands.train", *flags]
    both = [
        subprocess.Popen(
            [*command, "--mesh", "data=1,model=2", "--out", str(shared)],
            env={
                **os.environ,
                "JAX_NPU_BACKEND": "host",
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(i),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for i in range(2)
    ]
    (printed, errors), (nothing, other_errors) = (
        process.communicate(timeout=200) for process in both
    )
    assert [process.returncode for process in both] == [0, 0], errors + other_errors
    assert b"step 3/3" in printed
    assert b"step" not in nothing
    assert train.main([*flags, "--backend", "host", "--out", str(alone)]) == 0
    rows = run.read_metrics(shared)
    for row, expected in zip(rows, run.read_metrics(alone), strict=True):
        assert row == pytest.approx(expected, rel=LOSS_TOLERANCE)
    more = ["--out", str(shared), "--resume", "--mesh", "data=1", "--steps", "4"]
    assert train.main(more) == 0
    assert run.read_metrics(shared)[: len(rows)] == rows


def test_a_number_of_processes_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(InputError, match=r"\$JAX_NUM_PROCESSES must be a number"):
        number("JAX_NUM_PROCESSES")
    assert number("JAX_PROCESS_ID") is None
