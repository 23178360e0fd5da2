"""Adapters in PEFT's format, read back as saved or refused; and where they compute."""

import json
import re
from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import jax_npu
from gpt2_flax.adapters.initial import add_adapter, is_of_adapter
from gpt2_flax.adapters.names import layers_of_targets, targets_of_layers
from gpt2_flax.adapters.parameters import join_params, split_params
from gpt2_flax.adapters.peft import CONFIG, WEIGHTS, load_adapter, read_adapter
from gpt2_flax.adapters.peft import save_adapter as save
from gpt2_flax.errors import InputError
from gpt2_flax.layers.adapter import LINEAR_LAYERS, AdapterConfig
from gpt2_flax.model import GPT2Config, init_params, logits_function, shape_params
from gpt2_flax.training.step import token_loss

ADAPTER = AdapterConfig(rank=2, alpha=3.0, targets=LINEAR_LAYERS, dora=True)
MODEL = GPT2Config(1, 2, 12, vocab_size=31, num_positions=16)
FIRST = "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight"


@pytest.fixture(scope="module")
def base():
    return init_params(MODEL, 0)


@pytest.fixture(scope="module")
def params(base):
    """Those of a model with an adapter, whose B is not zero."""
    full = add_adapter(base, ADAPTER, 1)
    trained, frozen = split_params(full, is_of_adapter)
    noisy = jax.tree.map(lambda x: x + 0.1, trained)
    return join_params(noisy, frozen)


@pytest.fixture
def folder(params, tmp_path):
    save(tmp_path, ADAPTER, params, "openai-community/gpt2")
    return tmp_path


def test_loading_gives_back_what_was_saved(base, params, folder):
    assert read_adapter(folder) == ADAPTER
    start = add_adapter(base, ADAPTER, 2)
    loaded = load_adapter(folder, ADAPTER, start)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        (["c_attn"], ("attention.qkv",)),
        (["c_proj"], ("attention.proj", "mlp.proj")),
        (["mlp.c_proj", "c_fc"], ("mlp.fc", "mlp.proj")),
        (["attn.c_proj"], ("attention.proj",)),
        (["all-linear"], LINEAR_LAYERS),
    ],
)
def test_targets_mean_what_they_mean_to_peft(targets, layers):
    assert layers_of_targets(targets) == layers
    assert layers_of_targets(targets_of_layers(layers)) == layers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "has peft_type = 'IA3'"),
        ({"bias": "all"}, "has bias = 'all'"),
        ({"rank_pattern": {"c_fc": 4}}, "has rank_pattern"),
        ({"modules_to_save": ["wte"]}, "has modules_to_save"),
        ({"layers_to_transform": [0]}, "has layers_to_transform"),
        ({"r": "2"}, "numbers r and lora_alpha"),
        ({"r": 0}, "at least 1, got 0"),
        ({"target_modules": ["lm_head"]}, "got 'lm_head'"),
        ({"target_modules": 3}, "names target_modules"),
    ],
)
def test_a_config_that_means_something_else_is_refused(folder, change, message):
    path = folder / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=re.escape(message)):
        read_adapter(folder)


def put(name, array):
    return lambda arrays: arrays.update({name: array})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop(FIRST), "no such tensor"),
        (put(FIRST, np.ones((3, 12), np.float32)), r"floats (2, 12), and has F32 (3"),
        (put(FIRST, np.ones((2, 12), np.int32)), "and has I32 (2, 12)"),
        (put(FIRST, np.full((2, 12), np.nan, np.float32)), "NaN or infinite"),
        (put("more", np.ones(1, np.float32)), "more, which adapter_config.json does"),
    ],
)
def test_damaged_weights_are_refused(params, folder, change, message):
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)
    with pytest.raises(InputError, match=re.escape(message)):
        load_adapter(folder, ADAPTER, params)


def test_products_of_an_adapter_are_custom_calls_and_frozen_weights_have_no_gradients(
    base,
):
    adapter = replace(ADAPTER, dora=False)
    full = jax.eval_shape(lambda: add_adapter(base, adapter, 0))
    trained, frozen = split_params(full, is_of_adapter)
    logits = logits_function(MODEL, jax_npu.dot_general, adapter)
    tokens = np.zeros((2, 9), np.int32)

    def loss(trained, frozen):
        return token_loss(join_params(trained, frozen), tokens, logits)

    def results(arguments):
        """The shapes that custom calls write."""
        gradient = jax.jit(jax.grad(loss, arguments))
        text = gradient.lower(trained, frozen).compile().as_text()
        assert not re.search(r"\bdot\(", text)
        return set(re.findall(r"f32\[([\d,]+)\][^=]* custom-call\(", text))

    with jax_npu.backend("host"):
        of_adapter, of_both = results(0), results((0, 1))
    shapes = (x.shape for x in jax.tree.leaves(shape_params(MODEL)["blocks"]))
    matrices = {",".join(map(str, shape)) for shape in shapes if len(shape) == 2}
    assert matrices <= of_both
    assert matrices.isdisjoint(of_adapter)
