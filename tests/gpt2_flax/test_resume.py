"""Resumed runs reach the same bits, from whatever the interruption left."""

import json
import shutil
import signal

import jax
import numpy as np
import pytest

from gpt2_flax import run
from gpt2_flax.commands import sample, train
from gpt2_flax.flags.resume import config_to_resume
from gpt2_flax.training import loop

from .runs import one_line, saved_state

# Relative difference of losses and norms where one of two f32 optimizers took a few
# steps instead of the other.
OPTIMIZER_ROUNDING = 1e-5


def interrupt_in_step(monkeypatch, step):
    """Sends Ctrl-C in a step, counted from 1."""
    plain = loop.train_batch

    def interrupting(*args):
        if args[-1] == step - 1:
            signal.raise_signal(signal.SIGINT)
        return plain(*args)

    monkeypatch.setattr(loop, "train_batch", interrupting)


def test_interrupted_and_resumed_is_bit_for_bit_the_same(
    train_run, out, monkeypatch, capsys, training_backend
):
    assert train_run("--steps", 20, "--eval-every", 7) == 0
    straight, straight_rows = saved_state(out), run.read_metrics(out)

    interrupt_in_step(monkeypatch, 10)
    assert train_run("--steps", 20, "--eval-every", 7, "--overwrite") == 130
    assert f"gpt2-flax train --out {out} --resume" in capsys.readouterr().out
    assert run.latest_step(out) == run.read_metrics(out)[-1]["step"] == 10
    assert train.main(["--out", str(out), "--resume"]) == 0

    jax.tree.map(np.testing.assert_array_equal, saved_state(out), straight)
    assert run.read_metrics(out) == straight_rows


@pytest.fixture
def interrupted_run(train_run, out, kept_runs):
    """A function that leaves a run of six steps in `out`, interrupted in the third.

    It returns the metrics of the same run without the interruption.
    """

    def interrupted_run(optimizer):
        flags = ("--backend", "xla", "--steps", 6, "--optimizer", optimizer)
        kept = kept_runs / optimizer
        if not kept.exists():
            assert train_run(*flags) == 0
            rows = run.read_metrics(out)
            with pytest.MonkeyPatch.context() as patch:
                interrupt_in_step(patch, 3)
                assert train_run(*flags, "--overwrite") == 130
            shutil.move(out, kept)
            (kept_runs / f"{optimizer}.json").write_text(json.dumps(rows))
        shutil.copytree(kept, out)
        return json.loads((kept_runs / f"{optimizer}.json").read_text())

    return interrupted_run


@pytest.fixture(scope="module")
def kept_runs(tmp_path_factory):
    """A folder for the runs that `interrupted_run` copies."""
    return tmp_path_factory.mktemp("interrupted")


@pytest.mark.parametrize("first", ["fused", "optax"])
def test_a_run_goes_on_with_the_other_optimizers_checkpoint(
    first, interrupted_run, out, capsys
):
    second = {"fused": "optax", "optax": "fused"}[first]
    straight = interrupted_run(first)
    assert train.main(["--out", str(out), "--resume", "--optimizer", second]) == 0
    assert f"--optimizer is {second}, no longer {first}" in capsys.readouterr().out
    record = run.read_run(out)
    change = {"after_step": 3, "from": first, "to": second}
    assert record["optimizer_changes"] == [change]
    assert record["train"]["optimizer"] == second
    for row, expected in zip(run.read_metrics(out), straight, strict=True):
        assert row == pytest.approx(expected, rel=OPTIMIZER_ROUNDING)


def test_a_run_from_before_the_flag_goes_on_with_optax(finished_run, out):
    saved = run.read_run(out)["train"]
    del saved["optimizer"]
    assert config_to_resume(saved, {}).optimizer == "optax"


def test_resuming_takes_steps_after_the_checkpoint_again(
    train_run, interrupted_run, out
):
    straight = interrupted_run("fused")
    with (out / "metrics.jsonl").open("a") as file:  # as a power cut leaves it
        file.write('{"step": 4, "loss": 1.0, "grad_norm": 1.0}\n{"step": 5, "lo')
    assert train_run("--resume") == 0
    assert run.read_metrics(out) == straight


def test_a_run_without_a_checkpoint_resumes_from_the_start(train_run, out, monkeypatch):
    assert train_run("--steps", 3) == 0
    straight = run.read_metrics(out)
    with monkeypatch.context() as broken:
        broken.setattr(run, "save_checkpoint", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_run("--steps", 3, "--overwrite")
    assert train_run("--resume") == 0
    assert run.read_metrics(out) == straight


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(
    train_run, out, capsys
):
    assert train_run("--steps", 2, "--eval-every", 1) == 0
    params = out / "checkpoints" / "2" / "params"
    (params / "manifest.ocdbt").write_bytes(b"")
    for path in (params / "ocdbt.process_0" / "d").iterdir():
        path.write_bytes(b"")
    assert sample.main(["--out", str(out)]) == 2
    assert f"{params.parent} is damaged" in one_line(capsys)
    shutil.rmtree(params.parent)
    assert run.latest_step(out) == 1
    assert sample.main(["--out", str(out), "--num-tokens", "2"]) == 0


@pytest.mark.parametrize("item", ["params", "opt_state"])
def test_one_changed_bit_of_a_checkpoint_is_noticed(finished_run, out, capsys, item):
    checkpoint = out / "checkpoints" / "2"
    values = max((checkpoint / item).rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(values.read_bytes())
    content[len(content) // 2] ^= 1
    values.write_bytes(content)
    assert train.main(["--out", str(out), "--resume"]) == 2
    assert f"{checkpoint} is damaged ({item} has another checksum" in one_line(capsys)


def test_a_checkpoint_without_checksums_is_read(finished_run, out):
    shutil.rmtree(out / "checkpoints" / "2" / run.CHECKSUMS)
    assert sample.main(["--out", str(out), "--num-tokens", "2"]) == 0


def test_resuming_a_finished_run_changes_nothing(train_run, finished_run, out):
    before = run.read_metrics(out)
    assert train_run("--resume") == 0
    assert run.read_metrics(out) == before


@pytest.mark.parametrize("text", ['{"program": "gpt2', '{"program": "gpt2_flax"}'])
def test_a_damaged_config_is_called_so(finished_run, out, capsys, text):
    (out / "config.json").write_text(text)
    assert train.main(["--out", str(out), "--resume"]) == 2
    assert "config.json is damaged" in one_line(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weight-decay", "0.5"], "--weight-decay was 0.1, now 0.5"),
        (["--optimizer", "lion"], "--optimizer was fused, now lion"),
        (
            ["--seed", "1", "--embed-dim", "16"],
            "--seed was 0, now 1, --embed-dim was 8",
        ),
    ],
)
def test_resuming_otherwise_is_refused(finished_run, out, capsys, flags, message):
    config = (out / "config.json").read_text()
    assert train.main(["--out", str(out), "--resume", *flags]) == 2
    assert message in one_line(capsys)
    assert (out / "config.json").read_text() == config


def test_a_run_older_than_a_flag_resumes(finished_run, out, capsys):
    record = run.read_run(out)
    del record["train"]["activations"], record["model"]["activations"]
    run.write_record(out, record)
    flags = ["--out", str(out), "--resume", "--activations"]
    assert train.main([*flags, "bf16"]) == 2
    assert "--activations was f32, now bf16" in one_line(capsys)
    assert train.main([*flags, "f32"]) == 0


def test_a_checkpoint_holds_no_gradients(finished_run, out):
    names = {path.name for path in (out / "checkpoints" / "2").iterdir()}
    assert {"params", "opt_state"} <= names
    assert "grads" not in names


def test_resuming_with_another_text_is_refused(train_run, tmp_path, capsys):
    text = tmp_path / "text"
    text.write_text("some words " * 200)
    assert train_run("--steps", 2, "--data", text) == 0
    text.write_text("other words " * 200)
    assert train_run("--resume") == 2
    assert "needs the text that the run began with" in one_line(capsys)
