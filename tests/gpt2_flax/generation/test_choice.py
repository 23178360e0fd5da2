"""The rules of sampling, against transformers' logits processors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.generation.choice import Rules, candidates, choose, penalize

torch = pytest.importorskip("torch", reason="transformers needs it")
transformers = pytest.importorskip("transformers", reason="it has the reference rules")

NUM_TOKENS = 50
ROUNDING = 1e-6  # relative: two f32 roundings, of the division and the penalty


def processed_by_transformers(scores, text, rules):
    processors = transformers.LogitsProcessorList(
        [
            transformers.RepetitionPenaltyLogitsProcessor(rules.repetition_penalty),
            transformers.TemperatureLogitsWarper(rules.temperature),
            transformers.TopKLogitsWarper(rules.top_k or NUM_TOKENS),
            transformers.TopPLogitsWarper(rules.top_p),
        ]
    )
    processed = processors(torch.tensor(text), torch.tensor(np.array(scores)))
    return processed.numpy()


@pytest.mark.parametrize(
    "rules",
    [
        Rules(temperature=0.7),
        Rules(top_k=0, temperature=1.0),
        Rules(top_k=7, top_p=0.8),
        Rules(top_k=0, top_p=0.3, temperature=1.5),
        Rules(top_k=0, top_p=1e-6),
        Rules(repetition_penalty=1.7),
        Rules(top_k=12, top_p=0.9, repetition_penalty=0.6, temperature=0.4),
    ],
    ids=str,
)
def test_the_scores_left_are_those_of_transformers(rules, rng):
    scores = 3 * rng.standard_normal((4, NUM_TOKENS)).astype(np.float32)
    text = rng.integers(0, NUM_TOKENS, (4, 30))
    seen = np.zeros((4, NUM_TOKENS), bool)
    np.put_along_axis(seen, text, True, axis=-1)
    penalized = penalize(jnp.array(scores), seen, rules.repetition_penalty)
    best, tokens = candidates(penalized / rules.temperature, rules)
    left = np.full_like(scores, -np.inf)
    np.put_along_axis(left, np.array(tokens), np.array(best), axis=-1)
    expected = processed_by_transformers(scores, text, rules)
    np.testing.assert_allclose(left, expected, rtol=ROUNDING)


def test_draws_follow_the_softmax_of_what_is_left():
    scores = jnp.log(jnp.array([0.1, 0.4, 0.2, 0.3]))
    keys = jax.random.split(jax.random.key(0), 20_000)
    rules = Rules(temperature=0.5, top_k=3)
    chosen = choose(jnp.tile(scores, (len(keys), 1)), None, keys, rules)
    shares = np.bincount(chosen, minlength=4) / len(keys)
    squares = np.array([0, 0.16, 0.04, 0.09])  # p^(1 / 0.5) of the best three
    np.testing.assert_allclose(shares, squares / squares.sum(), atol=0.015)


def test_zero_temperature_takes_the_likeliest_token_after_the_penalty():
    scores = jnp.array([[5.0, 4.0, 3.0], [-2.0, -1.0, -4.0]])
    seen = jnp.array([[True, False, False], [False, True, False]])
    keys = jax.random.split(jax.random.key(0), 2)
    rules = Rules(temperature=0, repetition_penalty=3)
    assert choose(scores, seen, keys, rules).tolist() == [1, 0]
    assert choose(scores, None, keys, rules).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"temperature": -1.0}, "--temperature must be at least 0 and finite, got -1"),
        ({"temperature": float("nan")}, "--temperature must be .* got nan"),
        ({"top_k": -1}, "--top-k must be at least 1, or 0 for all tokens, got -1"),
        ({"top_p": 0.0}, "--top-p must be above 0 and at most 1, got 0.0"),
        ({"top_p": 1.1}, "--top-p must be above 0 and at most 1, got 1.1"),
        ({"repetition_penalty": 0.0}, "--repetition-penalty must be above 0 .* got 0"),
    ],
)
def test_an_impossible_rule_is_an_error(rule, message):
    with pytest.raises(InputError, match=message):
        Rules(**rule)
