import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.model import (
    MODELS,
    GPT2Config,
    init_params,
    logits_function,
    shape_params,
)


def test_logits_are_one_vector_of_the_vocabulary_a_token(config, tokens, backend):
    logits = logits_function(config, jax_npu.dot_general)
    assert logits(init_params(config, 0), tokens).shape == (3, 18, 307)


@pytest.mark.parametrize("changed", [0, 7, 17])
def test_a_token_changes_no_logits_before_it(config, tokens, backend, changed):
    logits = logits_function(config, jax_npu.dot_general)
    params = init_params(config, 0)
    other = tokens.copy()
    other[:, changed] = (tokens[:, changed] + 1) % config.vocab_size
    before, after = logits(params, tokens), logits(params, other)
    np.testing.assert_array_equal(before[:, :changed], after[:, :changed])
    assert np.all(np.any(before[:, changed:] != after[:, changed:], axis=-1))


@pytest.mark.parametrize(
    ("name", "num_params"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_published_sizes_have_the_published_number_of_parameters(name, num_params):
    leaves = jax.tree.leaves(shape_params(MODELS[name]))
    assert sum(leaf.size for leaf in leaves) == num_params


def test_initial_weights_have_gpt2s_scale():
    config = GPT2Config(num_layers=8, num_heads=2, embed_dim=128)
    params = init_params(config, 0)
    block = params["blocks"][5]
    for plain in (params["tokens"]["embedding"], block["attention"]["qkv"]["kernel"]):
        assert np.std(plain) == pytest.approx(0.02, rel=0.02)
    for residual in (block["attention"]["proj"], block["mlp"]["proj"]):
        assert np.std(residual["kernel"]) == pytest.approx(0.02 / 4, rel=0.02)
        assert not np.any(residual["bias"])


def test_initial_weights_follow_the_seed(config):
    first, again, other = (init_params(config, seed) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.any(first["tokens"]["embedding"] != other["tokens"]["embedding"])


def test_heads_must_share_the_channels_equally():
    with pytest.raises(InputError, match="30 is no multiple of --num-heads 4"):
        GPT2Config(num_layers=1, num_heads=4, embed_dim=30)


@pytest.mark.parametrize("name", ["num_layers", "num_heads", "embed_dim"])
def test_sizes_below_one_are_refused(name):
    sizes = {"num_layers": 1, "num_heads": 1, "embed_dim": 1, name: 0}
    with pytest.raises(InputError, match="at least one"):
        GPT2Config(**sizes)
