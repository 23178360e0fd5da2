"""Runs that are interrupted or killed at random moments end with the same bits."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from gpt2_flax import run

from ..runs import saved_state

KILLS = 50

# Forks a process for each attempt, so that modules are imported once. It resumes a run
# that there is. Prints a line for each.
PROGRAM = """
import os, random, signal, sys, time
from pathlib import Path
from gpt2_flax import run
from gpt2_flax.commands import train, train_result

folder, kills, flags = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
train_result.print_sample = lambda *_: None
choose = random.Random(0)


def attempt(out, kill_after=None):
    # The exit code of training in a process of its own, which may get a signal.
    child = os.fork()
    if child == 0:
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup ignores it
        begun = (out / "config.json").exists()
        code = train.main([*(["--resume"] if begun else flags), "--out", str(out)])
        sys.stdout.flush()
        os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        number = choose.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def last_step(out):
    steps = [int(p.name) for p in (out / "checkpoints").glob("*") if p.name.isdigit()]
    return max(steps, default=0)


for name in ("first", "straight"):  # the first one fills the compilation cache
    start = time.monotonic()
    assert attempt(folder / name) == 0
seconds = time.monotonic() - start
killed = runs = 0
while killed < kills:
    out = folder / f"run{runs}"
    code = attempt(out, choose.uniform(0, seconds))
    print(code, last_step(out), flush=True)
    killed += code != 0
    if code == 0 and last_step(out) == 9:
        runs += 1
if (folder / f"run{runs}").exists():
    assert attempt(folder / f"run{runs}") == 0
"""


@pytest.mark.slow
def test_fifty_signals_at_random_moments_change_no_bit(tmp_path):
    sizes = "--num-layers 1 --num-heads 2 --embed-dim 8 --batch-size 2 --seq-len 16"
    flags = f"{sizes} --tokenizer bytes --steps 9 --eval-every 2 --eval-batches 1"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(KILLS), *flags.split()],
        env={
            **os.environ,
            "JAX_NPU_BACKEND": "xla",
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    log = (tmp_path / "log").read_text()
    assert done.returncode == 0, done.stderr[-2000:] + log[-2000:]
    attempts = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    codes = [code for code, _ in attempts]
    assert sum(code != 0 for code in codes) == KILLS
    # 130 is an interruption that was saved or came before training began; the others
    # are signals that ended the process at once.
    said = [line for line in log.splitlines() if line.startswith("gpt2-flax: ")]
    assert set(codes) <= {0, 130, -2, -9, -15}, set(said)
    assert len({step for code, step in attempts if code}) >= 3  # at various steps
    straight = tmp_path / "straight"
    runs = sorted(tmp_path.glob("run*"))
    assert len(runs) >= 2
    for out in runs:
        assert run.read_metrics(out) == run.read_metrics(straight)
        jax.tree.map(
            np.testing.assert_array_equal, saved_state(out), saved_state(straight)
        )
