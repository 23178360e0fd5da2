"""Training runs in a temporary folder, started by the program's `main`."""

import json
import os
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from gpt2_flax import allocator, run
from gpt2_flax.__main__ import main as gpt2_flax_main
from gpt2_flax.commands import train
from gpt2_flax.data import PYTHON_DOCS
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.training import optimizer

from .runs import one_line, saved_state

PROGRAM = [sys.executable, "-m", "gpt2_flax.commands.train"]

# Relative difference of a short run's last loss on bf16 products from that on f32 ones.
LOSS_PARITY = 0.005


def test_a_run_leaves_its_folder_and_reports(train_run, out, capsys, training_backend):
    assert train_run("--steps", 6, "--eval-every", 4) == 0
    expected = {"config.json", "metrics.jsonl", "loss.png", "checkpoints", "tokenizer"}
    assert {path.name for path in out.iterdir()} == expected
    record = run.read_run(out)
    assert record["train"]["backend"] == training_backend
    assert record["train"]["data"] == [PYTHON_DOCS]
    assert record["model"]["embed_dim"] == 8
    rows = run.read_metrics(out)
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "val_loss" in row] == [0, 4, 6]
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for part in (
        "step 6/6",
        "unigram entropy of the text",
        "Sample",
        "50,257",
        "\nenergy: ",
        training_backend,
    ):
        assert part in printed
    lines = [line for line in printed.splitlines() if "tokens/s" in line]
    assert lines
    assert all(line.endswith(" s left") for line in lines)


def test_loss_falls(train_run, out, training_backend):
    assert train_run("--steps", 60, "--lr", 0.02) == 0
    losses = [row["loss"] for row in run.read_metrics(out) if "loss" in row]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 1


def test_custom_call_and_xla_reach_the_same_loss(train_run, out, training_backend):
    if training_backend == "xla":
        pytest.skip("xla has no custom call")
    last = {}
    for name in (training_backend, "xla"):
        flags = ("--backend", name, "--lr", 0.01, "--overwrite")
        assert train_run("--steps", 20, "--embed-dim", 32, *flags) == 0
        last[name] = run.read_metrics(out)[-1]["val_loss"]
    assert last[training_backend] != last["xla"]
    assert last[training_backend] == pytest.approx(last["xla"], rel=LOSS_PARITY)


def test_bf16_activations_reach_the_same_loss(train_run, out, training_backend):
    last = {}
    for name in ("f32", "bf16"):
        flags = ("--activations", name, "--lr", 0.01, "--overwrite")
        assert train_run("--steps", 40, "--embed-dim", 32, *flags) == 0
        last[name] = run.read_metrics(out)[-1]["val_loss"]
    assert last["bf16"] != last["f32"]
    assert last["bf16"] == pytest.approx(last["f32"], rel=LOSS_PARITY)


def test_a_folder_with_a_run_is_kept_without_overwrite(
    train_run, finished_run, out, capsys
):
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert train_run("--steps", 2) == 2
    assert "--resume" in (line := one_line(capsys))
    assert "--overwrite" in line
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


def test_overwrite_replaces_the_run_and_nothing_else(train_run, finished_run, out):
    (out / "notes.txt").write_text("mine")
    assert train_run("--steps", 3, "--overwrite") == 0
    assert run.latest_step(out) == 3
    assert [row["step"] for row in run.read_metrics(out) if "loss" in row] == [1, 2, 3]
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["thesis.txt", "config.json"])
def test_overwrite_never_touches_a_folder_without_a_run(train_run, out, capsys, name):
    out.mkdir()
    (out / name).write_text('{"model": "something else"}')
    assert train_run("--steps", 2, "--overwrite") == 2
    assert "--overwrite does not apply" in one_line(capsys)
    assert [path.name for path in out.iterdir()] == [name]


def test_bad_flags_leave_the_run_that_was_to_be_overwritten(
    train_run, finished_run, out, capsys
):
    assert train_run("--overwrite", "--data", out / "nowhere") == 2
    assert train_run("--overwrite", "--weights", out, "--model", "gpt2") == 2
    assert run.latest_step(out) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend", "abacus"], "backend must be one of .*got 'abacus'"),
        (["--model", "gpt9"], "--model must be one of mini, .*gpt2,.*got gpt9"),
        (["--num-heads", "3"], "--embed-dim 8 is not a multiple of --num-heads 3"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--lr", "nan"], "--lr must be above 0, got nan"),
        (["--seq-len", "500"], "--seq-len must not exceed them, got 500"),
        (["--data", "/nowhere"], "/nowhere is not one"),
        (["--batch-size", 10**15], "out of memory: .*smaller --batch-size"),
        (["--seed", 2**63], f"--seed must be 0 to .*, got {2**63}"),
        (["--lr", "inf"], "--lr must be at least 0 and finite, got inf"),
        (["--resume"], "holds no run"),
        (["--weights", "/nowhere"], "drop --num-layers, --num-heads, --embed-dim"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(
    train_run, out, capsys, flags, message
):
    assert train_run(*flags) == 2
    assert re.search(message, one_line(capsys))
    assert not out.exists()


def test_divergence_stops_and_keeps_the_last_good_checkpoint(
    train_run, out, monkeypatch, capsys, training_backend
):
    def explodes_in_step_5(*args):
        return lambda count: jnp.where(count < 4, 1e-3, jnp.inf)

    with monkeypatch.context() as broken:
        broken.setattr(optimizer, "schedule_of", explodes_in_step_5)
        assert train_run("--steps", 8, "--eval-every", 3) == 1
    line = one_line(capsys)
    assert "loss became nan in step 6" in line
    assert "the checkpoint of step 3 is kept" in line
    assert "--overwrite" in line
    assert [row["step"] for row in run.read_metrics(out) if "loss" in row] == [
        *(1, 2, 3, 4, 5)
    ]
    assert (out / "loss.png").exists()
    assert run.latest_step(out) == 3
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(saved_state(out)))


def test_diverged_parameters_are_not_saved(train_run, out, monkeypatch, capsys):
    def explodes_in_step_4(*args):
        return lambda count: jnp.where(count < 3, 1e-3, jnp.inf)

    monkeypatch.setattr(optimizer, "schedule_of", explodes_in_step_4)
    assert train_run("--steps", 8, "--eval-every", 2) == 1
    assert "val_loss became nan in step 4" in one_line(capsys)
    assert run.latest_step(out) == 2


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_says_how_to_resume(tiny_flags, out, number):
    command = [
        sys.executable,
        "-m",
        "gpt2_flax.commands.train",
        *tiny_flags,
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [*command, "--steps", "100000", "--backend", jax_npu.resolve_backend()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    for line in process.stdout:
        if line.startswith("step 10/"):
            process.send_signal(number)
            break
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"gpt2-flax train --out {out} --resume" in printed
    steps = [row["step"] for row in run.read_metrics(out) if "loss" in row]
    assert steps == list(range(1, run.latest_step(out) + 1))
    assert len(steps) >= 10


def test_a_reader_that_leaves_ends_the_run_with_a_checkpoint(tiny_flags, out):
    command = [
        sys.executable,
        "-m",
        "gpt2_flax.commands.train",
        *tiny_flags,
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [*command, "--steps", "100000", "--backend", jax_npu.resolve_backend()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 130, errors
    assert "Traceback" not in errors
    assert run.latest_step(out) == run.read_metrics(out)[-1]["step"]


@pytest.fixture
def no_restart(monkeypatch):
    """Keeps `gpt2-flax train` from replacing this process to tune its allocator."""
    monkeypatch.setenv(allocator.VARIABLE, "glibc.malloc.hugetlb=1")


@pytest.mark.parametrize("command", ["train", "sample", "parity", "bench", "export"])
def test_console_script_explains_each_command(monkeypatch, capsys, no_restart, command):
    monkeypatch.setattr(sys, "argv", ["gpt2-flax", command, "--help"])
    with pytest.raises(SystemExit, match="0"):
        gpt2_flax_main()
    assert f"usage: gpt2-flax {command}" in capsys.readouterr().out


def test_a_missing_extra_is_named(monkeypatch, capsys, no_restart):
    monkeypatch.setattr(sys, "argv", ["gpt2-flax", "train"])
    for name in list(sys.modules):  # what imports optax is imported again
        if name == "gpt2_flax.commands.train" or name.startswith("gpt2_flax.training"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optax", None)  # as if not installed
    assert gpt2_flax_main() == 2
    assert "pip install 'jax-npu[gpt2]'" in one_line(capsys)


def test_metrics_are_json_lines(finished_run, out):
    for line in (out / "metrics.jsonl").read_text().splitlines():
        assert "step" in json.loads(line)


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({}, TrainConfig.lr),
        ({"weights": "gpt2"}, 3e-5),
        ({"weights": "gpt2", "adapter": "lora"}, 2e-4),
        ({"weights": "gpt2", "lr": 1e-4}, 1e-4),
    ],
)
def test_trained_weights_are_trained_further_at_a_rate_that_they_bear(
    monkeypatch, tmp_path, given, rate
):
    trained = []
    monkeypatch.setattr(train, "train", lambda config, *_: trained.append(config))
    flags = [f"--{name}={value}" for name, value in given.items()]
    train.main([*flags, "--backend", "host", "--out", str(tmp_path / "run")])
    assert [config.lr for config in trained] == [rate]
