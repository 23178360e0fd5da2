"""docs/finetuning.md: its commands are understood, and its programs run."""

import re
import shlex
from pathlib import Path

import jax
import pytest

import jax_npu
from gpt2_flax.commands import evaluate, sample
from gpt2_flax.exporting.folder import save_folder
from gpt2_flax.loading import GPT2
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers import load_tokenizer

GUIDE = (Path(__file__).parents[3] / "docs" / "finetuning.md").read_text()
COMMANDS = re.findall(r"^    gpt2-flax ((?:sample|eval) .*)$", GUIDE, re.MULTILINE)
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE.split("## From Python")[1], re.S)
HUB_NAME = '"openai-community/gpt2"'


@pytest.fixture
def small_weights(tmp_path):
    """What the programs find instead of GPT-2: a model of a few bytes."""
    config = GPT2Config(1, 2, 8, vocab_size=257, num_positions=64)
    small = GPT2(config, init_params(config, 0), load_tokenizer("bytes"))
    save_folder(small, tmp_path / "weights", None, None)
    return tmp_path / "weights"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    name, *flags = shlex.split(command, comments=True)
    parser = {"sample": sample, "eval": evaluate}[name].make_parser()
    assert vars(parser.parse_args(flags))


@pytest.mark.slow
def test_programs_run(small_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("held-out.txt").write_text("It was a dark and stormy night.\n" * 5)
    Path("book.txt").write_text("The night was dark, and so was the storm.\n" * 30)
    program = "".join(PROGRAMS)
    assert program.count(HUB_NAME) == 2
    assert "steps=200" in program
    program = program.replace(HUB_NAME, repr(str(small_weights)))
    found = {}
    with jax_npu.backend("xla"):
        exec(program.replace("steps=200", "steps=3, warmup_steps=1"), found)
    printed = capsys.readouterr().out.splitlines()
    perplexities = [float(line) for line in printed if re.fullmatch(r"\d+\.\d+", line)]
    assert len(perplexities) == 2
    assert perplexities[0] != perplexities[1]
    assert found["after"].config == found["before"].config
    equal = jax.tree.map(
        lambda a, b: (a == b).all(), found["after"].params, found["before"].params
    )
    assert not all(jax.tree.leaves(equal))
