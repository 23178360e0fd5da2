"""Sampling: which token is chosen, and the commands `sample` and `export`."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt2_flax.commands import export, sample
from gpt2_flax.commands.sample import choose_token, continue_text, fill
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.tokenizers.gpt2_bpe import NUM_TOKENS


def counting_logits(params, tokens):
    """Likes the sum of the last two tokens, so it shows what the window holds."""
    before = jnp.pad(tokens, (1, 0))[:-1]
    return jax.nn.one_hot((tokens + before) % 10, 10)


def greedy(scores, key):
    return jnp.argmax(scores)


@pytest.mark.parametrize("window", [2, 3, 12])
def test_each_token_is_chosen_from_those_before_it(window):
    prompt = jnp.array([1, 1] + [0] * 10)
    filled = fill(counting_logits, greedy, window, 2, {}, prompt, jax.random.key(0))
    assert filled.tolist() == [1, 1, 2, 3, 5, 8, 3, 1, 4, 5, 9, 4]


def test_zero_temperature_takes_the_likeliest_token():
    scores = jax.random.normal(jax.random.key(0), (50,))
    chosen = choose_token(scores, jax.random.key(1), temperature=0, top_k=10)
    assert chosen == jnp.argmax(scores)


@pytest.mark.parametrize("temperature", [0, 1])
def test_padding_of_the_vocabulary_is_never_chosen(temperature):
    scores = jnp.zeros(NUM_TOKENS + 47).at[NUM_TOKENS:].set(9).at[123].set(5)
    assert choose_token(scores, jax.random.key(0), temperature, top_k=1) == 123


def test_top_k_and_temperature_shape_the_choice():
    scores = jnp.log(jnp.array([0.1, 0.4, 0.2, 0.3]))
    keys = jax.random.split(jax.random.key(0), 20_000)
    choose = jax.vmap(lambda key: choose_token(scores, key, 0.5, 3))
    shares = np.bincount(choose(keys), minlength=4) / len(keys)
    squares = np.array([0, 0.16, 0.04, 0.09])  # p^(1 / 0.5) of the best three
    np.testing.assert_allclose(shares, squares / squares.sum(), atol=0.015)


def test_sample_continues_the_prompt_and_follows_the_seed(
    finished_run, capsys, backend
):
    def sampled(seed):
        capsys.readouterr()
        flags = ["--prompt", "The with", "--num-tokens", "12", "--seed", str(seed)]
        assert sample.main(["--out", str(finished_run), *flags]) == 0
        return capsys.readouterr().out

    first = sampled(1)
    assert first.startswith("The with")
    assert first == sampled(1) != sampled(2)


def test_sample_goes_on_beyond_the_models_positions(config):
    small = replace(config, vocab_size=NUM_TOKENS, num_positions=6)
    logits = logits_function(small, jax.lax.dot_general)
    text = continue_text(logits, init_params(small, 0), small, "A long prompt", 20)
    assert len(text) > 20


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", ""], "--prompt must not be empty"),
        (["--num-tokens", "0"], "--num-tokens must be at least 1, got 0"),
        (["--temperature", "-1"], "--temperature must be at least 0, got -1.0"),
        (["--temperature", "nan"], "--temperature must be at least 0, got nan"),
        (["--top-k", "0"], "--top-k must be 1 to 50257, got 0"),
        (["--seed", "-1"], "--seed must be 0 to 2^63 - 1, got -1"),
        (["--seed", str(2**63)], f"--seed must be 0 to 2^63 - 1, got {2**63}"),
        (["--backend", "abacus"], "got 'abacus'"),
        ([], "holds no run"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, capsys, flags, message):
    assert sample.main(["--out", str(tmp_path), *flags]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert sum(message in line for line in errors) == 1
    assert not any("Traceback" in line for line in errors)


def test_export_needs_an_empty_folder(finished_run, tmp_path, capsys):
    flags = ["--out", str(finished_run), "--to", str(tmp_path / "exported")]
    assert export.main(flags) == 0
    assert export.main(flags) == 2
    assert "--to must be a new or empty folder" in capsys.readouterr().err
