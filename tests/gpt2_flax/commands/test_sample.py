"""`gpt2-flax sample`: what it prints, of which model, and where it stops."""

import io
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from gpt2_flax.commands import export, sample
from gpt2_flax.commands.terminal import write
from gpt2_flax.errors import InputError
from gpt2_flax.generation.generate import beginning, generate, make_generator
from gpt2_flax.loading import GPT2, load, load_run
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.tokenizers.char_tokenizer import CharTokenizer

RAINBOW = "red orange yellow green blue "


@pytest.fixture(scope="module")
def reciter():
    """A model that recites RAINBOW: the position alone tells which byte is next."""
    tokenizer = load_tokenizer("bytes")
    tokens = [*tokenizer.encode(3 * RAINBOW), tokenizer.end_of_text]
    config = GPT2Config(1, 1, 96, vocab_size=257, num_positions=96, tied_head=False)
    params = jax.tree.map(jnp.zeros_like, init_params(config, 0))
    params["norm"]["scale"] += 1
    params["positions"]["embedding"] = 50 * jnp.eye(96)
    head = np.zeros((257, 96), np.float32)
    head[tokens[1:], np.arange(len(tokens) - 1)] = 9
    params["head"]["embedding"] = jnp.array(head)
    return GPT2(config, params, tokenizer)


@pytest.fixture
def use(monkeypatch, reciter):
    """A function: `gpt2-flax sample` of the model `reciter` with the given flags."""
    monkeypatch.setattr(sample, "chosen_model", lambda args: reciter)
    return lambda *flags: sample.main(["--backend", "xla", *flags])


def test_a_text_ends_where_the_model_ends_it(reciter):
    assert generate(reciter, "r", temperature=0) == [(3 * RAINBOW)[1:]]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (["blue"], "ed orange yellow green "),
        (["nothing", "yellow", "range"], "ed o"),
        (["ed"], ""),
        (["blue b"], (3 * RAINBOW)[1:]),
    ],
)
def test_a_text_ends_before_the_first_stop(reciter, stop, expected):
    texts = generate(reciter, "r", temperature=0, stop=stop, num_samples=2)
    assert texts == [expected, expected]


def test_a_stop_may_be_one_text_and_weights_are_rounded_once(reciter):
    with jax_npu.backend("host"):
        generator = make_generator(reciter)
        assert generate(reciter, "r", temperature=0, stop="yellow") == ["ed orange "]
        assert make_generator(reciter) is generator
    with jax_npu.backend("xla"):
        assert make_generator(reciter) is not generator


def test_text_is_printed_as_it_grows(use, capsys, monkeypatch):
    pieces = []
    monkeypatch.setattr(sample, "write", pieces.append)
    assert use("--prompt", "red", "--temperature", "0", "--stop", "yellow") == 0
    assert "".join(pieces) == "red orange \n"
    assert len(pieces) > len("orange")


def test_samples_follow_one_another(use, capsys):
    flags = ["--prompt", "red", "--temperature", "0", "--num-tokens", "4"]
    assert use(*flags, "--num-samples", "2") == 0
    assert capsys.readouterr().out == f"red ora\n{'-' * 20}\nred ora\n"


def test_interactive_turns_lines_into_texts_and_goes_on_after_an_empty_one(
    use, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("red o\n\nred\n"))
    assert use("--interactive", "--temperature", "0", "--num-tokens", "3") == 0
    printed = capsys.readouterr().out.replace("> ", "").splitlines()
    assert printed[1:] == ["red oran", "red orange ", "red or", ""]


def test_what_stdout_cannot_encode_is_replaced(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    write("caf\u00e9 \U0001f308\n")
    assert raw.getvalue() == b"caf? ?\n"


def test_a_terminal_gets_no_control_characters(monkeypatch):
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", out)
    write("a\x1b[2Jb\x00\tc\n")
    assert out.getvalue() == "a\ufffd[2Jb\ufffd\tc\n"


def test_a_run_continues_the_prompt_by_its_seed(finished_run, capsys, backend):
    def sampled(seed):
        capsys.readouterr()
        flags = ["--prompt", "The with", "--num-tokens", "3", "--seed", str(seed)]
        assert sample.main(["--out", str(finished_run), *flags]) == 0
        return capsys.readouterr().out

    first = sampled(1)
    assert first.startswith("The with")
    assert first == sampled(1) != sampled(2)


def test_exported_weights_give_the_texts_of_their_run(finished_run, tmp_path, capsys):
    folder = str(tmp_path / "exported")
    assert export.main(["--out", str(finished_run), "--to", folder]) == 0
    assert export.main(["--out", str(finished_run), "--to", folder]) == 2
    assert "--to must be a new or empty folder" in capsys.readouterr().err
    texts = [
        generate(model, "A", num_tokens=5)
        for model in (load_run(finished_run), load(folder))
    ]
    assert texts[0] == texts[1] != [""]
    assert sample.main(["--weights", folder, "--prompt", "A", "--num-tokens=5"]) == 0
    assert capsys.readouterr().out == f"A{texts[0][0]}\n"


def test_without_a_prompt_a_text_begins():
    assert beginning(load_tokenizer("bytes")) == [256]
    assert beginning(CharTokenizer({"a", "\n"}, has_end=False)) == [0]
    with pytest.raises(InputError, match="give a --prompt"):
        beginning(CharTokenizer({"a", "b"}, has_end=False))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num-tokens", "0"], "--num-tokens must be at least 1, got 0"),
        (["--num-samples", "0"], "--num-samples must be at least 1, got 0"),
        (["--temperature", "-1"], "--temperature must be at least 0 and finite"),
        (["--stop", ""], "--stop must not be empty"),
        (["--seed", "-1"], "--seed must be 0 to 2^63 - 1, got -1"),
        (["--seed", str(2**63)], f"--seed must be 0 to 2^63 - 1, got {2**63}"),
        (["--backend", "abacus"], "got 'abacus'"),
        (["--interactive", "--prompt", "a"], "drop --prompt"),
        (["--weights", "a"], "--out and --weights both name a model"),
        ([], "holds no run"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, capsys, flags, message):
    assert sample.main(["--out", str(tmp_path), *flags]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert sum(message in line for line in errors) == 1
    assert not any("Traceback" in line for line in errors)
