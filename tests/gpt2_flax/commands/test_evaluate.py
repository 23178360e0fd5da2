"""`gpt2-flax eval`: which models and texts, the figures printed, and bad input."""

import gzip
import json

import numpy as np
import pytest

import jax_npu
from gpt2_flax import run
from gpt2_flax.commands import evaluate, export
from gpt2_flax.data import load_split
from gpt2_flax.evaluation.choices import answer, read_questions
from gpt2_flax.evaluation.documents import documents_of
from gpt2_flax.evaluation.evaluate import evaluate as score
from gpt2_flax.loading import load_run, load_start
from gpt2_flax.tokenizers import load_tokenizer

QUESTION = {"ctx": "A man", "endings": ["sits.", "stands up."], "label": 1}


@pytest.fixture
def evaluated(capsys):
    """A function: the figures that `gpt2-flax eval --json` prints."""

    def run_with(*flags):
        capsys.readouterr()
        flags = [*map(str, flags), "--json", "--backend", "xla"]
        assert evaluate.main(flags) == 0
        return json.loads(capsys.readouterr().out)

    return run_with


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("One text.<|endoftext|>Caf\u00e9s are another text.\n")
    return path


def test_before_and_after_a_run_on_its_validation_text(
    finished_run, evaluated, tmp_path
):
    text = " ".join(f"word{i}" for i in range(400))
    (tmp_path / "words.txt").write_text(text)
    record = run.read_run(finished_run)
    record["train"]["data"] = [str(tmp_path / "words.txt")]
    run.write_record(finished_run, record)
    before, after = evaluated("--out", finished_run, "--before")
    assert before["model"] == f"{finished_run} before training"
    validation = load_split(str(tmp_path / "words.txt"), 16).validation
    last_words = load_tokenizer().decode(validation.tolist())
    assert text.endswith(last_words)
    for result, model in ((before, load_start), (after, load_run)):
        with jax_npu.backend("xla"):
            expected = score(model(finished_run), last_words).loss
        assert result["texts"]["loss"] == pytest.approx(expected)
    assert before["texts"]["loss"] != after["texts"]["loss"]


def test_the_figures_are_those_of_the_library(kept_run, text, evaluated):
    (found,) = evaluated("--out", kept_run, "--data", text, "--stride", 64)
    with jax_npu.backend("xla"):
        expected = score(load_run(kept_run), text.read_text().split("<|endoftext|>"))
    for figure in ("loss", "perplexity", "bits_per_byte"):
        assert found["texts"][figure] == pytest.approx(getattr(expected, figure))
    names = [document["name"] for document in found["texts"]["documents"]]
    assert names == [f"{text}, 1", f"{text}, 2"]
    losses = [document["loss"] for document in found["texts"]["documents"]]
    assert losses == pytest.approx([part.loss for part in expected.documents])


def test_weights_stand_beside_a_run(kept_run, tmp_path, text, evaluated):
    folder = tmp_path / "exported"
    assert export.main(["--out", str(kept_run), "--to", str(folder)]) == 0
    flags = ["--weights", folder, "--data", text]
    first, second = evaluated("--out", kept_run, *flags)
    assert (first["model"], second["model"]) == (str(folder), str(kept_run))
    assert first["texts"] == second["texts"] == evaluated(*flags)[0]["texts"]


def test_choices_and_texts_are_printed_as_tables(kept_run, tmp_path, text, capsys):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(QUESTION))
    flags = ["--out", str(kept_run), "--choices", str(path), "--data", str(text)]
    assert evaluate.main([*flags, "--documents", "--backend", "xla"]) == 0
    printed = capsys.readouterr().out
    with jax_npu.backend("xla"):
        expected = answer(load_run(kept_run), read_questions(path))
    assert f"{expected.by_sum:.2%}" in printed
    for part in (
        "perplexity",
        "bits/byte",
        "texts.txt, 2",
        "right by sum",
        "questions",
    ):
        assert part in printed


def test_documents_are_read_as_training_reads_them(tmp_path):
    tokenizer = load_tokenizer("bytes")
    (tmp_path / "a.txt").write_text("One.<|endoftext|>Two.")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"text": "Three."}\n{"prompt": "Four", "completion": "five"}\n')
    found = list(documents_of([str(tmp_path)], tokenizer))
    texts = [tokenizer.decode(document.tokens.tolist()) for document in found]
    assert [t.replace("\n", " ").strip() for t in texts[:3]] == [
        "One.",
        "Two.",
        "Three.",
    ]
    answer_only = found[3].tokens[np.asarray(found[3].counts)]
    assert tokenizer.decode(answer_only.tolist()).strip() in (
        "five",
        "five<|endoftext|>",
    )
    after = list(documents_of([str(tmp_path / "a.txt")], tokenizer, True))
    assert [document.tokens[0] for document in after] == 2 * [tokenizer.end_of_text]
    assert [len(document.tokens) for document in after] == [5, 5]


def test_a_run_of_weights_began_with_them(finished_run, tmp_path):
    folder = tmp_path / "exported"
    assert export.main(["--out", str(finished_run), "--to", str(folder)]) == 0
    began = load_start(finished_run).params
    record = run.read_run(finished_run)
    record["train"]["weights"] = str(folder)
    run.write_record(finished_run, record)
    after = load_run(finished_run).params
    for params, is_equal in ((load_start(finished_run).params, True), (began, False)):
        kernels = [p["positions"]["embedding"] for p in (params, after)]
        assert np.array_equal(*kernels) == is_equal


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "{tmp}"], "holds no run"),
        (["--out", "{run}", "--stride", "0"], "--stride must be from 1 to"),
        (["--out", "{run}", "--data", "{tmp}/absent"], "absent is not one"),
        (["--out", "{run}", "--data", "{tmp}/empty.txt"], "empty"),
        (
            ["--out", "{run}", "--data", "{tmp}/one.txt"],
            "at least two tokens, got none",
        ),
        (["--out", "{run}", "--choices", "{tmp}/empty.txt"], "empty.txt is empty"),
        (["--out", "{run}", "--backend", "abacus"], "got 'abacus'"),
        (["--weights", "{tmp}", "--data", "x"], "config.json is not there"),
        (["--weights", "{tmp}"], "--weights needs a text, --data, or --choices"),
        (["--weights", "{tmp}", "--before"], "--before belongs to a run"),
    ],
)
def test_bad_input_is_one_line(kept_run, tmp_path, capsys, flags, message):
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "one.txt").write_text("a")
    flags = [flag.format(tmp=tmp_path, run=kept_run) for flag in flags]
    assert evaluate.main(flags) == 2
    errors = capsys.readouterr().err.splitlines()
    assert sum(message in line for line in errors) == 1
    assert not any("Traceback" in line for line in errors)
