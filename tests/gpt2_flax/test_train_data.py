"""Runs on other texts and tokenizers than the default: what they learn and keep."""

import io
import json
import re
import sys

import jax
import numpy as np
import pytest

from gpt2_flax import run
from gpt2_flax.commands import sample, train
from gpt2_flax.data import cache
from gpt2_flax.flags.resume import saved_config
from gpt2_flax.loading import load
from gpt2_flax.tokenizers import load_tokenizer

from .runs import one_line, saved_state
from .test_resume import interrupt_in_step

SIZES = "--num-layers 1 --num-heads 2 --embed-dim 8 --batch-size 2 --seq-len 16"
FLAGS = [*SIZES.split(), "--warmup-steps=1", "--eval-batches=2", "--backend=xla"]


@pytest.fixture
def train_on(out, tmp_path):
    """Trains three steps in `out` on a file with that name and content."""

    def train_with(name, content, *flags):
        (tmp_path / name).write_text(content)
        data = ["--data", str(tmp_path / name), "--steps", "3"]
        return train.main([*FLAGS, "--out", str(out), *data, *flags])

    return train_with


def pairs():
    rng = np.random.default_rng(0)
    records = [
        {"prompt": f"{a} + {b} =", "completion": f" {a + b}"}
        for a, b in rng.integers(0, 50, (60, 2)).tolist()
    ]
    return "".join(json.dumps(record) + "\n" for record in records)


def test_characters_of_the_text_belong_to_the_run(train_on, out, capsys):
    assert train_on("a.txt", "to be, or not to be\n" * 60, "--tokenizer", "chars") == 0
    model = load(out)
    assert model.config.vocab_size == model.tokenizer.num_tokens == 9
    assert model.tokenizer.decode(model.tokenizer.encode("not to be")) == "not to be"
    assert load_tokenizer(out).fingerprint == run.read_run(out)["tokenizer"]
    flags = ["--prompt", "or", "--num-tokens", "5", "--out", str(out)]
    capsys.readouterr()
    assert sample.main(flags) == 0
    assert set(capsys.readouterr().out) <= set("to be, or not to be\n")


def test_answers_are_learnt_in_the_same_steps_after_an_interruption(
    train_on, out, monkeypatch
):
    flags = ("a.jsonl", pairs(), "--tokenizer", "bytes")
    assert train_on(*flags) == 0
    straight, rows = saved_state(out), run.read_metrics(out)
    interrupt_in_step(monkeypatch, 2)
    assert train_on(*flags, "--overwrite") == 130
    monkeypatch.undo()
    assert train.main(["--out", str(out), "--resume"]) == 0
    jax.tree.map(np.testing.assert_array_equal, saved_state(out), straight)
    assert run.read_metrics(out) == rows


def test_a_run_on_standard_input_resumes_without_it(out, monkeypatch):
    text = io.TextIOWrapper(io.BytesIO(b"what a pipe brings, " * 60))
    monkeypatch.setattr(sys, "stdin", text)
    flags = ["--out", str(out), "--tokenizer", "bytes", "--steps", "3"]
    with monkeypatch.context() as interrupted:
        interrupt_in_step(interrupted, 2)
        assert train.main([*FLAGS, *flags, "--data", "-"]) == 130
    assert train.main(["--out", str(out), "--resume"]) == 0
    assert run.read_metrics(out)[-1]["step"] == 3


def test_a_run_from_before_the_flags_goes_on_with_windows_of_its_file(
    finished_run, out
):
    record = run.read_run(out)
    saved = record["train"]
    saved["data"] = saved["data"][0]
    for name in ("validation", "tokenizer", "batches"):
        del saved[name]
    del record["tokenizer"], record["text_keys"]
    run.write_record(out, record)
    assert train.main(["--out", str(out), "--resume"]) == 0
    assert saved_config(run.read_run(out)["train"]).batches == "windows"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "gpt3"], "--model must be one of"),
        (["--seq-len", "500"], "--seq-len must not exceed"),
        (["--batches", "random"], "--batches must be one of documents, stream, windo"),
        (["--tokenizer", "gpt4"], "--tokenizer must be gpt2, bytes, chars or a folder"),
        (["--backend", "abacus"], "backend must be one of"),
    ],
)
def test_bad_flags_are_said_before_a_text_is_read(
    train_on, out, monkeypatch, capsys, flags, message
):
    monkeypatch.setattr(cache, "content_key", lambda *args: 1 / 0)
    assert train_on("a.txt", "some words " * 60, *flags) == 2
    assert re.search(message, one_line(capsys))


def test_an_occupied_folder_is_said_before_a_text_is_read(
    train_on, out, monkeypatch, capsys
):
    monkeypatch.setattr(cache, "content_key", lambda *args: 1 / 0)
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert train_on("a.txt", "some words " * 60) == 2
    assert "--out needs a new or empty folder" in one_line(capsys)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_text_too_short_is_one_line(train_on, out, capsys, name):
    assert train_on(name, '{"text": "ab"}\n' if name == "a.jsonl" else "a b") == 2
    assert "must be more than --seq-len 16" in one_line(capsys)
    assert not out.exists()


def test_nanogpts_recipe_learns_the_characters_of_a_text(out, tmp_path, capsys):
    """A smaller model and fewer steps, on a text of words drawn at random."""
    rng = np.random.default_rng(0)
    words = ["thou", "art", "more", "lovely", "and", "temperate", "than", "a", "day"]
    lines = (" ".join(rng.choice(words, 6)) for _ in range(800))
    (tmp_path / "input.txt").write_text("\n".join(lines))
    flags = "--config shakespeare-char --num-layers 1 --embed-dim 16 --lr 0.02 "
    flags += "--steps 80 --warmup-steps 10 --eval-batches 2 --backend xla"
    data = ["--data", str(tmp_path / "input.txt"), "--out", str(out)]
    assert train.main([*flags.split(), *data]) == 0
    assert "training tokens" in capsys.readouterr().out
    losses = [row["val_loss"] for row in run.read_metrics(out) if "val_loss" in row]
    # 17 characters, of which the unigram entropy is 2.6. One word in 9 is 2.2 nats, of
    # 5 characters with its space: 0.44 nats each for who has learnt all words.
    assert losses[0] > 2.6
    assert 0.4 < losses[-1] < 1.7
