"""`gpt2-flax train` when the NPU fails or the process is killed, on the virtual NPU."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from gpt2_flax import run
from gpt2_flax.commands import sample, train, train_result
from gpt2_flax.commands.train_result import print_sample

from ..runs import saved_state
from .byte_training import HOST_LOSS, assert_same

LIBRARY = {"JAX_NPU_LIBRARY_DIR"}  # what a process inherits from the tests

# The program without the final sample, which takes longer than the training here.
PROGRAM = """
import sys
from gpt2_flax.commands import train, train_result
train_result.print_sample = lambda *_: None
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def program(tiny_flags, always):
    """A function `program(out, *flags)`: calls the program's `main` in this process."""
    sizes = [*tiny_flags, "--steps", "4", "--eval-every", "2", "--backend", "sim"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_result, "print_sample", lambda *_: None)
        yield lambda out, *flags: train.main([*sizes, "--out", str(out), *flags])


@pytest.fixture
def process(tiny_flags):
    """A function: runs the program in its own process, with a changed environment."""
    sizes = [*tiny_flags, "--steps", "4", "--eval-every", "2", "--backend", "sim"]

    def process(out, *flags, program=PROGRAM, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NPU_")}
        kept = {k: os.environ[k] for k in LIBRARY & os.environ.keys()}
        return subprocess.run(
            [sys.executable, "-c", program, *sizes, "--out", str(out), *flags],
            env={**clean, **kept, "JAX_NPU_CHECK": "always", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return process


@pytest.fixture
def undisturbed_program(virtual_xrt, program, kept, tmp_path):
    if "program" not in kept:
        out = tmp_path / "undisturbed"
        assert program(out) == 0
        kept["program"], kept["num_calls"] = saved(out), virtual_xrt.calls["call"]
        virtual_xrt.forget_health()  # shapes that were checked here are new again
    return kept["program"]


@pytest.fixture
def num_calls_of_program(undisturbed_program, kept):
    return kept["num_calls"]


@pytest.mark.parametrize("spec", ["untouched@1+", "wrong@1+", "garbage/3"])
def test_training_on_an_npu_that_computes_wrong_ends_as_on_a_healthy_one(
    virtual_xrt, undisturbed_program, program, out, monkeypatch, capfd, spec
):
    """Its last line counts the wrong results and says what to do."""
    monkeypatch.setenv("JAX_NPU_CHECK", "sample")
    virtual_xrt.set_faults(f"abort@1,{spec}")  # a new context, and its self-test
    assert program(out) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert "results of the NPU were wrong, and the host computed" in last
    assert "run 'jax-npu doctor'" in last
    healthy = undisturbed_program[1][-1]["val_loss"]
    assert run.read_metrics(out)[-1]["val_loss"] == pytest.approx(healthy, rel=1e-4)


def saved(out):
    """The state in the newest checkpoint, and the metrics."""
    return saved_state(out), run.read_metrics(out)


def lines_of_program(errors):
    assert "Traceback" not in errors
    return [line for line in errors.splitlines() if line.startswith("gpt2-flax: ")]


def test_the_program_says_in_one_line_what_failed_and_how_to_go_on(
    virtual_xrt, undisturbed_program, num_calls_of_program, program, out, capfd
):
    virtual_xrt.set_faults(f"gone@{num_calls_of_program * 6 // 10}")
    assert program(out) == 1
    (line,) = lines_of_program(capfd.readouterr().err)
    step = run.latest_step(out)
    assert re.match(r"gpt2-flax: (the validation of )?step [34] failed: xdna_g", line)
    assert "the NPU is gone; reload its driver with 'sudo modprobe" in line
    assert f"The checkpoint of step {step} is kept; to go on: gpt2-flax train" in line
    assert (out / "loss.png").exists()

    commands = re.findall(r"gpt2-flax train .*? --resume(?: --backend \w+)?", line)
    on_sim, on_host = (shlex.split(command)[2:] for command in commands)
    shutil.copytree(out, spare := out.with_name("spare"))
    virtual_xrt.set_faults("")
    assert train.main(on_sim) == 0
    assert_same(saved(out), undisturbed_program)

    shutil.rmtree(out)
    spare.rename(out)
    virtual_xrt.set_faults("gone@1")
    assert train.main(on_host) == 0
    said = f"After step {step}, --backend is host, no longer sim"
    assert said in capfd.readouterr().out
    change = {"after_step": step, "from": "sim", "to": "host"}
    assert run.read_run(out)["backend_changes"] == [change]
    last = run.read_metrics(out)[-1]
    assert last == pytest.approx(undisturbed_program[1][-1], rel=HOST_LOSS)
    assert run.read_run(out)["train"]["backend"] == "host"


def test_before_the_first_checkpoint_the_way_on_is_from_the_start(
    virtual_xrt, undisturbed_program, program, out, capfd
):
    virtual_xrt.set_faults("gone@1")
    assert program(out) == 1
    (line,) = lines_of_program(capfd.readouterr().err)
    command = f"gpt2-flax train --out {out} --resume"
    assert f"No step is saved yet; to start again at the first: {command}" in line
    virtual_xrt.set_faults("")
    assert train.main(shlex.split(command)[2:]) == 0
    assert_same(saved(out), undisturbed_program)


def test_a_sample_that_fails_leaves_a_finished_run(
    virtual_xrt, undisturbed_program, program, out, capfd, monkeypatch
):
    def print_sample_without_device(*args):
        virtual_xrt.set_faults("gone@1")
        print_sample(*args)

    monkeypatch.setattr(train_result, "print_sample", print_sample_without_device)
    assert program(out) == 1
    assert_same(saved(out), undisturbed_program)
    (line,) = lines_of_program(capfd.readouterr().err)
    assert f"training is done and saved in {out}, but its sample failed: xdna_" in line
    assert sample.main(["--out", str(out), "--backend", "sim"]) == 1
    (line,) = lines_of_program(capfd.readouterr().err)
    assert line.startswith("gpt2-flax: a product failed: xdna_gemm_sim: ")


def test_killed_after_a_checkpoint_it_ends_with_the_same_bits(
    undisturbed_program, num_calls_of_program, program, process, out
):
    call = num_calls_of_program * 7 // 10
    done = process(out, JAX_NPU_SIM_FAULTS=f"kill@{call}")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run.latest_step(out) == 2
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


def test_a_run_that_never_ends_changes_no_bit_of_the_training(
    undisturbed_program, process, out
):
    # 2 s are long for any run of this model.
    done = process(out, JAX_NPU_SIM_FAULTS="stuck@30", JAX_NPU_WATCHDOG_SECONDS="2")
    assert done.returncode == 0, done.stderr
    assert "TIMEOUT" in done.stderr
    assert_same(saved(out), undisturbed_program)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_bits(
    undisturbed_program, num_calls_of_program, program, process, out
):
    for flags, share in [((), 0.1), (("--resume",), 0.7), (("--resume",), 0.1)]:
        call = int(share * num_calls_of_program)
        done = process(out, *flags, JAX_NPU_SIM_FAULTS=f"kill@{call}")
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert run.latest_step(out) == 2
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_killed_anywhere_it_ends_with_the_same_bits(
    undisturbed_program, num_calls_of_program, program, process, out, seed
):
    limit = num_calls_of_program if seed else num_calls_of_program // 9  # first step
    call = int(np.random.default_rng(seed).integers(1, limit))
    done = process(out, JAX_NPU_SIM_FAULTS=f"kill@{call}")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)


KILLED_WHILE_SAVING = """
import os, signal, threading
from gpt2_flax import run
save, wait = run.save_checkpoint, float(os.environ["SECONDS_BEFORE_KILL"])
def save_and_die(checkpoints, step, items):
    if step == 4:
        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        threading.Timer(wait, kill).start() if wait else kill()
    save(checkpoints, step, items)
run.save_checkpoint = save_and_die
"""


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 10, 20, 30, 45, 60, 80, 100])
def test_killed_while_it_saves_it_ends_with_the_same_bits(
    undisturbed_program, program, process, out, milliseconds
):
    seconds = str(milliseconds / 1000)
    killed = KILLED_WHILE_SAVING + PROGRAM
    done = process(out, program=killed, SECONDS_BEFORE_KILL=seconds)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert program(out, "--resume") == 0
    assert_same(saved(out), undisturbed_program)
