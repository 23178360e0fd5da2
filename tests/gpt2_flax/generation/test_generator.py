"""Growing texts over a cache, against the model that computes every text anew."""

from dataclasses import replace
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.generation.choice import Rules
from gpt2_flax.generation.generator import Generator
from gpt2_flax.model import init_params, logits_function

NUM_TOKENS = 300  # of the config's 307: the rest is padding
GREEDY = Rules(temperature=0)


@pytest.fixture
def params(config):
    """Parameters whose logits differ by more than a product rounds."""
    return jax.tree.map(lambda array: 6 * array, init_params(config, 0))


def likeliest_tokens(config, params, prompt, length):
    """Each token from a forward pass over the whole text, or the last half of one."""
    logits = jax.jit(logits_function(config, jax_npu.dot_general))
    most, seen, chosen = config.num_positions, list(prompt), []
    for _ in range(length):
        if len(seen) > most:
            seen = seen[-(most // 2) :]
        padded = jnp.array(seen + [0] * (most - len(seen)))
        scores = logits(params, padded)[len(seen) - 1, :NUM_TOKENS]
        chosen.append(int(scores.argmax()))
        seen.append(chosen[-1])
    return chosen


@pytest.mark.parametrize("prompt_length", [3, 31])  # of 24 positions
def test_greedy_tokens_are_those_of_the_whole_forward_pass(
    config, params, prompt_length, rng, backend
):
    prompt = rng.integers(0, NUM_TOKENS, prompt_length).tolist()
    grown = Generator(config, params, NUM_TOKENS).tokens(prompt, GREEDY, 26, 2)
    expected = likeliest_tokens(config, params, prompt, 26)
    assert np.array(list(grown)).T.tolist() == [expected, expected]
    assert len(set(expected)) > 5


def test_bf16_activations_and_an_untied_head_grow_the_same_tokens(config, rng):
    other = replace(config, tied_head=False, activations="bf16")
    params = jax.tree.map(lambda array: 6 * array, init_params(other, 1))
    prompt = rng.integers(0, NUM_TOKENS, 5).tolist()
    with jax_npu.backend("host"):
        grown = list(Generator(other, params, NUM_TOKENS).tokens(prompt, GREEDY, 12))
        expected = likeliest_tokens(other, params, prompt, 12)
    assert np.ravel(grown).tolist() == expected


def test_a_sample_follows_its_seed_and_number_alone(config, params):
    generator = Generator(config, params, NUM_TOKENS)

    def sampled(num_samples, seed):
        rules = Rules(temperature=1, top_k=0, top_p=0.9, repetition_penalty=1.2)
        with jax_npu.backend("xla"):
            tokens = generator.tokens([1, 2], rules, 8, num_samples, seed)
            return np.array(list(tokens)).T.tolist()

    first, second, third = sampled(3, seed=5)
    assert first != second != third != first
    assert sampled(2, seed=5) == [first, second]
    assert sampled(1, seed=6) != [first]


def test_padding_of_the_vocabulary_is_never_chosen(config, params):
    params["tokens"]["embedding"] = params["tokens"]["embedding"].at[299:].mul(50)
    tokens = Generator(config, params, NUM_TOKENS).tokens([1], Rules(top_k=2), 20, 8)
    assert np.max(list(tokens)) == NUM_TOKENS - 1


def test_a_cache_is_as_long_as_the_text_may_become(config, params):
    longer = replace(config, num_positions=4096)
    params["positions"]["embedding"] = jnp.zeros((4096, config.embed_dim))
    generator = Generator(longer, params, NUM_TOKENS)
    _, slots, _ = generator._prefill(np.zeros((1, 5), np.int32), 100, True)
    assert {array.shape[1] for array in jax.tree.leaves(slots)} == {128}


def test_tokens_are_computed_when_they_are_asked_for(config, params):
    calls = []
    generator = Generator(config, params, NUM_TOKENS)
    compute = generator._compute
    generator._compute = lambda *args: calls.append(args) or compute(*args)
    list(islice(generator.tokens([1], GREEDY, 1000), 3))
    assert len(calls) == 3


def test_a_token_reads_its_weights_in_bf16_where_products_round(config, params):
    def bytes_of_weights(backend):
        with jax_npu.backend(backend):
            leaves = jax.tree.leaves_with_path(
                Generator(config, params, NUM_TOKENS)._params
            )
        kernels = [leaf for path, leaf in leaves if path[-1].key == "kernel"]
        return sum(kernel.nbytes for kernel in kernels)

    assert bytes_of_weights("xla") == 2 * bytes_of_weights("host")


def test_prompt_and_tokens_have_their_products_on_the_backend(
    config, params, custom_call_backend
):
    tokens = Generator(config, params, NUM_TOKENS).tokens([1, 2, 3], GREEDY, 4)
    before = jax_npu.counters()
    for _ in range(4):
        next(tokens)
        counted = jax_npu.counters() - before
        # A block's qkv, scores, context and three projections, and the head.
        assert counted.calls == 6 * config.num_layers + 1
        before = jax_npu.counters()


def test_an_empty_prompt_is_an_error(config, params):
    with pytest.raises(InputError, match="at least one token, got none"):
        next(Generator(config, params, NUM_TOKENS).tokens([], GREEDY, 1))
