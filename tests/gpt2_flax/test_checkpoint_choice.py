"""`--checkpoint`: which of a run's checkpoints is sampled, evaluated and exported."""

from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np
import pytest

from gpt2_flax import run
from gpt2_flax.commands import evaluate, export, sample
from gpt2_flax.errors import InputError
from gpt2_flax.loading import load
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.weights import load_params

TINY = GPT2Config(1, 1, 8, vocab_size=257, num_positions=8)
LOSSES = {0: 1.0, 1: 5.0, 2: 3.0, 3: 3.0, 4: 4.0, 5: 4.5}  # by step; 0 is untrained
KEPT = [2, 4, 5]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A run whose parameters after step N are those of seed N."""
    out = tmp_path_factory.mktemp("runs") / "run"
    train = {"weights": None, "steps": max(LOSSES)}
    record = {"train": train, "model": asdict(TINY), "text_sha256": ""}
    run.create_run(out, record, overwrite=False)
    load_tokenizer("bytes").save(out / run.TOKENIZER)
    kept = run.Kept()
    kept.best_step = 2
    with run.open_checkpoints(out, kept) as checkpoints:
        for step, loss in LOSSES.items():
            run.append_metrics(out, {"step": step, "val_loss": loss})
            if step:
                items = {"params": init_params(TINY, step)}
                run.save_checkpoint(checkpoints, step, items)
    return out


def step_of(params):
    """The step after which these were the parameters."""
    for step in LOSSES:
        same = jax.tree.map(np.array_equal, params, init_params(TINY, step))
        if all(jax.tree.leaves(same)):
            return step
    return None


@pytest.mark.parametrize(
    ("checkpoint", "step"), [("latest", 5), ("best", 2), ("4", 4), ("5", 5)]
)
def test_the_chosen_checkpoint_is_loaded(out, checkpoint, step):
    assert step_of(load(out, checkpoint).params) == step


def test_without_a_choice_it_is_the_newest(out):
    assert step_of(load(out).params) == KEPT[-1]


def test_the_best_checkpoint_is_exported(out, tmp_path):
    to = tmp_path / "exported"
    flags = ["--out", str(out), "--to", str(to), "--checkpoint", "best"]
    assert export.main(flags) == 0
    assert step_of(load_params(to, TINY)) == 2


def test_the_best_checkpoint_is_sampled(out, monkeypatch):
    seen = []
    monkeypatch.setattr(sample, "print_samples", lambda model, *_: seen.append(model))
    flags = ["--out", str(out), "--checkpoint", "best", "--backend", "xla"]
    assert sample.main(flags) == 0
    assert step_of(seen[0].params) == 2


def test_the_best_checkpoint_is_evaluated(out, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("some text")
    losses = []
    for checkpoint in ("best", "2", "4"):
        flags = ["--data", str(tmp_path / "text.txt"), "--json", "--backend", "xla"]
        assert (
            evaluate.main([*flags, "--out", str(out), "--checkpoint", checkpoint]) == 0
        )
        losses.append(capsys.readouterr().out)
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("3", r"keeps no checkpoint of step 3 but of 2, 4, 5; give one of these"),
        ("newest", "must be latest, best or a step, got 'newest'"),
        ("-1", "must be latest, best or a step, got '-1'"),
        ("", "must be latest, best or a step, got ''"),
    ],
)
def test_another_choice_is_an_error_that_names_what_is_kept(out, checkpoint, message):
    with pytest.raises(InputError, match=message):
        load(out, checkpoint)


def test_a_best_step_that_is_not_kept_is_an_error(out, tmp_path):
    copy = tmp_path / "run"
    run.create_run(copy, run.read_run(out), overwrite=False)
    run.append_metrics(copy, {"step": 1, "val_loss": 0.5})
    with run.open_checkpoints(copy) as checkpoints:
        run.save_checkpoint(checkpoints, 2, {"params": init_params(TINY, 2)})
    with pytest.raises(InputError, match="no checkpoint of the best step, 1, but of 2"):
        load(copy, "best")
    run.forget_metrics_after(copy, 0)
    with pytest.raises(InputError, match="no validation yet, so no best checkpoint"):
        load(copy, "best")


def test_a_folder_of_weights_has_no_other_checkpoints(tmp_path, out):
    export.main(["--out", str(out), "--to", str(tmp_path / "exported")])
    with pytest.raises(InputError, match=r"is no run.* drop --checkpoint"):
        load(tmp_path / "exported", "best")


def test_a_folder_without_a_run_is_refused_with_the_runs_there_are(
    out, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"nix holds no run.*gpt2-flax train makes"):
        run.read_run(Path("nix"))
    for folder, text in {
        "theirs": '{"model_type": "gpt2"}',
        "damaged": "{",
        "runs/a b": (out / "config.json").read_text(),
    }.items():
        Path(folder).mkdir(parents=True)
        Path(folder, "config.json").write_text(text)
    with pytest.raises(InputError, match=r"such as 'runs/a b'.$"):
        run.read_run(Path("nix"))
