"""Runs that go on otherwise than they were begun, end early, or meet a full disk."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from gpt2_flax import run
from gpt2_flax.commands import train
from gpt2_flax.training import disk
from gpt2_flax.training.reporting import trackers
from gpt2_flax.validations import Validations

from ..runs import one_line, saved_state


def resume(out, *flags):
    return train.main(["--out", str(out), "--resume", *map(str, flags)])


def test_a_finished_run_is_extended_and_its_record_says_so(finished_run, out, capsys):
    assert resume(out, "--steps", 4, "--lr", 0.01, "--schedule", "constant") == 0
    printed = capsys.readouterr().out
    assert "After step 2, --steps is 4, no longer 2: the learning rate" in printed
    record = run.read_run(out)
    assert record["steps_changes"] == [{"after_step": 2, "from": 2, "to": 4}]
    assert record["lr_changes"] == [{"after_step": 2, "from": 0.003, "to": 0.01}]
    assert record["train"]["schedule"] == "constant"
    assert [r["step"] for r in run.read_metrics(out) if "loss" in r] == [1, 2, 3, 4]


@pytest.mark.slow
def test_extended_in_two_parts_is_bit_for_bit_the_same(finished_run, out):
    spare = shutil.copytree(out, out.with_name("spare"))
    assert resume(out, "--steps", 5) == 0
    assert resume(spare, "--steps", 5, "--eval-every", 1) == 0
    shutil.rmtree(spare / "checkpoints" / "5")  # as if it was killed before
    assert resume(spare) == 0
    jax.tree.map(np.testing.assert_array_equal, saved_state(out), saved_state(spare))


def test_fewer_steps_than_were_taken_are_refused(finished_run, out, capsys):
    assert resume(out, "--steps", 1) == 2
    assert "has taken 2 steps, so --steps must be at least 2" in one_line(capsys)


def test_a_longer_warm_up_than_the_run_is_refused_on_resuming_too(
    finished_run, out, capsys
):
    assert resume(out, "--warmup-steps", 9) == 2
    assert "--warmup-steps 9 must be fewer than --steps 2" in one_line(capsys)


def test_a_run_from_before_that_rule_goes_on(finished_run, out):
    record = run.read_run(out)
    record["train"]["warmup_steps"] = 40
    run.write_record(out, record)
    assert resume(out) == 0


@pytest.fixture
def losses(monkeypatch):
    """Validations that have these losses, in the order of steps 1, 2, ..."""
    values = [3.0, 2.0, 2.5, 2.0, 2.25, 1.0]
    plain = train.make_training

    def with_losses(*args):
        training = plain(*args)
        left = iter([9.0, *values])
        return loop_replace(training, validate=lambda _: next(left))

    loop_replace = train.replace
    monkeypatch.setattr(train, "make_training", with_losses)
    return values


def test_training_ends_when_no_validation_is_better_and_keeps_the_best_checkpoint(
    train_run, out, losses, capsys
):
    flags = ("--steps", 9, "--eval-every", 1, "--patience", 3, "--backend", "xla")
    assert train_run(*flags) == 0
    assert "after step 2 was better, 3 in a row" in capsys.readouterr().out
    assert run.latest_step(out) == 5
    kept = {path.name for path in (out / "checkpoints").iterdir()}
    assert kept == {"2", "4", "5"}
    assert resume(out) == 0  # no patience is left
    assert run.latest_step(out) == 5


def test_without_keep_best_only_the_newest_checkpoints_stay(train_run, out, losses):
    flags = ("--steps", 4, "--eval-every", 1, "--no-keep-best", "--backend", "xla")
    assert train_run(*flags) == 0
    assert {path.name for path in (out / "checkpoints").iterdir()} == {"3", "4"}


def test_the_validation_before_training_is_no_best_one():
    rows = [{"step": 0, "val_loss": 1.0}, {"step": 1, "loss": 0.5}]
    validations = Validations(rows)
    assert (validations.best_step, validations.since_best) == (None, 0)
    for step, loss in [(2, 3.0), (4, 3.0), (6, 3.5)]:
        validations.add({"step": step, "val_loss": loss})
    assert (validations.best_step, validations.since_best) == (2, 2)
    assert validations.is_enough(2)
    assert not validations.is_enough(3)
    assert not validations.is_enough(None)


def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_is_kept(
    train_run, finished_run, out, monkeypatch, capsys
):
    straight = shutil.copytree(out, out.with_name("straight"))
    assert resume(straight, "--steps", 5) == 0

    plain = run.append_metrics

    def append_metrics(out, row):
        if row["step"] == 4:
            Path("/dev/full").write_text("a row")
        plain(out, row)

    with monkeypatch.context() as full:
        full.setattr(run, "append_metrics", append_metrics)
        assert resume(out, "--steps", 5) == 1
    line = one_line(capsys)
    assert f"no space left on {out}; the checkpoint of step 2 is kept" in line
    assert f"to go on: gpt2-flax train --out {out} --resume" in line
    assert resume(out) == 0
    assert run.read_metrics(out) == run.read_metrics(straight)


def test_a_checkpoint_that_cannot_fit_is_not_begun(
    train_run, finished_run, out, monkeypatch, capsys
):
    usage = shutil.disk_usage(out)._replace(free=2 << 20)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage)
        assert resume(out, "--steps", 3) == 1
    line = one_line(capsys)
    assert "a checkpoint takes 5.9 MB, and 2.1 MB are free" in line
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["2"]


def test_orbaxs_error_of_a_full_disk_is_known(tmp_path):
    error = ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device")
    with (
        pytest.raises(disk.DiskFullError, match="no space left on"),
        disk.disk_errors(tmp_path),
    ):
        raise error
    with pytest.raises(ZeroDivisionError), disk.disk_errors(tmp_path):
        raise ZeroDivisionError


def test_tensorboard_gets_the_metrics_of_every_step(train_run, out):
    assert train_run("--steps", 3, "--track", "tensorboard", "--backend", "xla") == 0
    (file,) = (out / "tensorboard").iterdir()
    content = file.read_bytes()
    for name in (b"loss", b"grad_norm", b"val_loss"):
        assert content.count(name) >= 1
    assert content.count(b"\x0a\x09grad_norm") == 3


def test_a_run_has_one_name_for_its_trackers(tmp_path):
    one, other = (tmp_path / name for name in "ab")
    assert trackers.kept_id(one) == trackers.kept_id(one)
    assert trackers.kept_id(one) != trackers.kept_id(other)


def test_a_tracker_that_is_not_installed_is_named(train_run, out, monkeypatch, capsys):
    monkeypatch.setitem(trackers.PACKAGES, "wandb", "no_such_package")
    assert train_run("--track", "wandb") == 2
    assert "pip install 'jax-npu[wandb]'" in one_line(capsys)
    assert not out.exists()
