"""gpt2_flax as a library: training, loading, evaluating and sampling from Python."""

import math
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gpt2_flax
import jax_npu
from gpt2_flax import GPT2, InputError, evaluate, generate, load, run, train
from gpt2_flax.errors import TrainingError
from gpt2_flax.training import optimizer

TEXT = "".join(f"The number {i} comes before {i + 1}.\n" for i in range(150))
SIZES = {"num_layers": 1, "num_heads": 2, "embed_dim": 16, "batch_size": 4}
OTHERS = {"seq_len": 16, "warmup_steps": 2, "tokenizer": "bytes", "backend": "xla"}
FLAGS = SIZES | OTHERS


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "numbers.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


@pytest.fixture(scope="module")
def model(text, folder):
    return train(folder, data=text, steps=30, lr=0.01, **FLAGS)


def test_training_returns_the_model_that_its_run_holds(model, folder):
    assert isinstance(model, GPT2)
    assert run.latest_step(folder) == 30
    jax.tree.map(np.testing.assert_array_equal, load(folder).params, model.params)
    assert model.tokenizer.name == load(str(folder)).tokenizer.name == "bytes"
    with jax_npu.backend("xla"):
        assert evaluate(model, TEXT).loss < math.log(model.config.vocab_size) - 1


def test_a_run_is_kept_or_resumed(model, folder, text, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run"):
        train(copy, data=[str(text)], steps=30, lr=0.01, **FLAGS)
    longer = train(copy, resume=True, steps=31)
    assert run.latest_step(copy) == 31
    assert longer.config == model.config


def test_logits_are_those_that_an_evaluation_uses(model):
    tokens = np.array(model.tokenizer.encode(TEXT[:24]))
    with jax_npu.backend("xla"):
        logits = model.logits(tokens)
        losses = (
            jax.nn.logsumexp(logits[:-1], axis=-1) - logits[np.arange(23), tokens[1:]]
        )
        assert evaluate(model, TEXT[:24]).loss == pytest.approx(
            float(losses.mean()), rel=1e-5
        )
        assert jax.jit(model.logits)(tokens[None]).shape == (1, 24, 257)
        moved = replace(model, params=jax.tree.map(lambda x: 1.01 * x, model.params))
        assert not np.allclose(moved.logits(tokens), logits)


def test_texts_are_generated_from_a_prompt_or_nothing(model):
    with jax_npu.backend("xla"):
        texts = generate(model, "The number 7", num_samples=3, num_tokens=5, seed=2)
        assert len(texts) == 3
        assert all(1 <= len(text) <= 5 for text in texts)
        assert generate(model, num_tokens=5, temperature=0) != [""]


def test_wrong_arguments_are_errors(tmp_path, text, model):
    with pytest.raises(InputError, match="--steps must be at least 1, got 0"):
        train(tmp_path / "run", steps=0)
    with pytest.raises(InputError, match="choose one"):
        train(tmp_path / "run", resume=True, overwrite=True)
    with pytest.raises(InputError, match="holds no run"):
        train(tmp_path / "run", resume=True)
    with pytest.raises(TypeError, match="stepps"):
        train(tmp_path / "run", stepps=3)
    with pytest.raises(InputError, match="--num-tokens must be at least 1"):
        generate(model, num_tokens=0)
    with pytest.raises(InputError, match=r"none of them|is not there"):
        load(tmp_path / "a" / "b" / "c")


def test_a_run_that_diverges_says_what_is_kept(tmp_path, text, monkeypatch):
    monkeypatch.setattr(optimizer, "schedule_of", lambda _: lambda count: jnp.inf)
    with pytest.raises(TrainingError, match=r"became nan in step .*nothing is kept"):
        train(tmp_path / "run", data=text, steps=3, **FLAGS)


def test_names_are_imported_when_they_are_first_used():
    program = """
import sys, gpt2_flax
assert {*gpt2_flax.__all__} <= {*dir(gpt2_flax)}
assert not {"jax", "numpy", "flax"} & sys.modules.keys()
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    for name in gpt2_flax.__all__:
        assert getattr(gpt2_flax, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = gpt2_flax.trane
