"""Weights and config.json: read back as saved, or refused with the reason."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt2_flax.errors import InputError
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.weights import load_params, read_config, save_weights

F32_ERROR = 1e-4  # the same sums in another order


@pytest.fixture
def folder(config, tmp_path):
    save_weights(tmp_path, config, init_params(config, 0))
    return tmp_path


def change_config(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_arrays(folder, change):
    path = folder / "model.safetensors"
    arrays = load_file(path)
    change(arrays)
    save_file(arrays, path)


def test_loading_gives_back_what_was_saved(config, folder):
    assert read_config(folder) == config
    loaded = load_params(folder, config)
    jax.tree.map(np.testing.assert_array_equal, loaded, init_params(config, 0))


WTE, HEAD = "transformer.wte.weight", "lm_head.weight"


def put(name, array):
    return lambda arrays: arrays.update({name: np.asarray(array)})


def other_head(config):
    rng = np.random.default_rng(1)
    shape = (config.vocab_size, config.embed_dim)
    return rng.normal(size=shape).astype(np.float32)


def head_by_hand(config, params, tokens):
    """The logits as a plain product of the last hidden state with each head."""
    identity = replace(config, vocab_size=config.embed_dim, tied_head=False)
    hidden_of = logits_function(identity, jax.lax.dot_general)
    eye = {"head": {"embedding": np.eye(config.embed_dim, dtype=np.float32)}}
    hidden = np.asarray(hidden_of(params | eye, tokens))
    head = params.get("head", params["tokens"])["embedding"]
    return hidden @ np.asarray(head).T


@pytest.mark.parametrize("tie_word_embeddings", [True, False])
def test_a_head_that_differs_from_the_embedding_makes_the_logits(
    config, folder, tokens, tie_word_embeddings
):
    head = other_head(config)
    change_arrays(folder, put(HEAD, head))
    change_config(folder, tie_word_embeddings=tie_word_embeddings)
    read = read_config(folder)
    assert read == replace(config, tied_head=False)
    params = load_params(folder, read)
    np.testing.assert_array_equal(params["head"]["embedding"], head)
    actual = logits_function(read, jax.lax.dot_general)(params, tokens)
    expected = head_by_hand(read, params, tokens)
    np.testing.assert_allclose(actual, expected, atol=F32_ERROR, rtol=F32_ERROR)


def test_a_head_equal_to_the_embedding_is_tied_where_config_json_lets_it(
    config, folder
):
    change_arrays(folder, lambda arrays: arrays.update({HEAD: arrays[WTE]}))
    assert read_config(folder) == config
    assert "head" not in load_params(folder, config)
    change_config(folder, tie_word_embeddings=False)
    assert read_config(folder) == replace(config, tied_head=False)


def test_a_head_alone_is_the_embedding_too(config, folder):
    change_arrays(folder, lambda arrays: arrays.update({HEAD: arrays.pop(WTE)}))
    assert read_config(folder) == config
    loaded = load_params(folder, config)
    jax.tree.map(np.testing.assert_array_equal, loaded, init_params(config, 0))
    change_config(folder, tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"has no weight wte\.weight"):
        load_params(folder, read_config(folder))


def test_an_untied_config_needs_a_head(folder):
    change_config(folder, tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"has no weight lm_head\.weight"):
        load_params(folder, read_config(folder))


def test_a_head_of_its_own_is_saved_as_transformers_names_it(config, tmp_path):
    untied = replace(config, tied_head=False)
    save_weights(tmp_path, untied, init_params(untied, 0))
    assert {WTE, HEAD} <= load_file(tmp_path / "model.safetensors").keys()
    assert read_config(tmp_path) == untied
    fields = json.loads((tmp_path / "config.json").read_text())
    assert fields["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    "name",
    [
        "transformer.h.3.ln_1.weight",
        "transformer.h.12.attn.bias",
        "transformer.h.0.crossattention.c_attn.weight",
        "transformer.h.0.attn.c_attn.weight_scale",
        "transformer.h.0.attn.c_attn.lora_A.default.weight",
        "score.weight",
        "lm_head.bias",
    ],
)
def test_a_tensor_that_config_json_does_not_describe_is_named(config, folder, name):
    change_arrays(folder, put(name, np.ones((1, 1, 24, 24), np.float32)))
    short = name.removeprefix("transformer.")
    message = rf"model\.safetensors: {short} is not part of the GPT-2 .*json describes;"
    with pytest.raises(InputError, match=message):
        load_params(folder, config)


def test_of_many_other_tensors_the_first_layer_and_the_number_are_named(config, folder):
    for layer in (10, 9, 11):
        change_arrays(folder, put(f"h.{layer}.ln_1.bias", np.ones(36, np.float32)))
    with pytest.raises(InputError, match=r"h\.9\.ln_1\.bias is .*nor are 2 others"):
        load_params(folder, config)


def test_masks_that_old_transformers_saved_are_left_out(config, folder):
    mask = np.tril(np.ones((1, 1, 24, 24), bool))
    for layer in range(3):
        change_arrays(folder, put(f"transformer.h.{layer}.attn.bias", mask))
        minus = np.float32(-1e4)
        change_arrays(folder, put(f"transformer.h.{layer}.attn.masked_bias", minus))
    loaded = load_params(folder, config)
    jax.tree.map(np.testing.assert_array_equal, loaded, init_params(config, 0))


def test_two_names_of_one_weight_are_refused(config, folder):
    change_arrays(folder, lambda arrays: arrays.update({"wte.weight": arrays[WTE]}))
    with pytest.raises(
        InputError, match=r"both wte\.weight and transformer\.wte\.weig"
    ):
        read_config(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["wpe.weight", "h.2.mlp.c_proj.bias", "ln_f.weight"])
def test_a_weight_that_is_not_finite_is_named(config, folder, name, value):
    change_arrays(folder, lambda arrays: arrays["transformer." + name].put(7, value))
    with pytest.raises(InputError, match=rf"{name} has NaN or infinite values"):
        load_params(folder, config)


def test_a_float64_beyond_float32_is_named(config, folder):
    bias = np.full(36, 1e300)
    change_arrays(folder, put("transformer.ln_f.bias", bias))
    with pytest.raises(InputError, match=r"ln_f\.bias has NaN or infinite values"):
        load_params(folder, config)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, bool])
def test_a_weight_in_whole_numbers_is_refused(config, folder, kind):
    change_arrays(folder, lambda a: a.update({WTE: (a[WTE] > 0).astype(kind)}))
    with pytest.raises(InputError, match=r"wte\.weight has type .*not quantized"):
        load_params(folder, config)


def test_files_have_the_mode_that_the_umask_leaves(folder):
    (folder / "plain").touch()
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert modes == {(folder / "plain").stat().st_mode}


def test_names_without_prefix_and_half_precision_are_read(config, folder):
    def as_openai_did(arrays):
        for name in list(arrays):
            array = arrays.pop(name).astype(np.float16)
            arrays[name.removeprefix("transformer.")] = array
        arrays["h.0.attn.bias"] = np.tril(np.ones((1, 1, 24, 24), np.float16))

    change_arrays(folder, as_openai_did)
    loaded, saved = load_params(folder, config), init_params(config, 0)
    assert {x.dtype for x in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, 1e-3, 1e-7), loaded, saved
    )


def test_absent_keys_mean_gpt2(folder):
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    read = read_config(folder)
    assert (read.num_layers, read.num_heads, read.embed_dim) == (12, 12, 768)
    assert (read.vocab_size, read.num_positions, read.norm_eps) == (50257, 1024, 1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "llama"}, "model_type = 'llama'"),
        ({"activation_function": "prelu"}, "activation_function = 'prelu'.*gelu_new"),
        ({"n_inner": 0}, "n_inner = 0; it must be a whole number"),
        ({"add_cross_attention": True}, "supports False only"),
        ({"attn_pdrop": 1.5}, "attn_pdrop = 1.5; it must be from 0"),
        ({"is_causal": False}, "is_causal = False"),
        ({"quantization_config": {"bits": 4}}, "quantization_config = {'bits': 4}"),
        ({"architectures": ["GPT2ForTokenClassification"]}, "architectures = "),
        ({"hidden_size": 48}, "n_embd = 36 and hidden_size = 48, two names"),
        ({"n_layer": 3.0}, "n_layer = 3.0; it must be a whole number"),
        ({"n_layer": None}, "n_layer = None"),
        ({"vocab_size": "307"}, "vocab_size = '307'"),
        ({"n_positions": -24}, "n_positions = -24"),
        ({"n_head": True}, "n_head = True"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon = nan"),
        ({"scale_attn_weights": 1}, "scale_attn_weights = 1"),
        ({"n_head": 5}, "n_embd = 36 and n_head = 5.*must be a multiple"),
    ],
)
def test_models_that_are_another_gpt2_are_refused(folder, fields, message):
    change_config(folder, **fields)
    with pytest.raises(InputError, match=message):
        read_config(folder)


def test_a_config_of_another_gpt2_is_read_and_written_back(folder, config, tmp_path):
    changes = {
        "n_inner": 100,
        "activation_function": "quick_gelu",
        "scale_attn_weights": False,
        "scale_attn_by_inverse_layer_idx": True,
        "attn_pdrop": 0.25,
    }
    change_config(folder, **changes)
    read = read_config(folder)
    assert (read.mlp_dim, read.attention_dropout) == (100, 0.25)
    save_weights(tmp_path / "again", read, init_params(read, 0))
    assert read_config(tmp_path / "again") == read
    text = (tmp_path / "again" / "config.json").read_text()
    assert changes.items() <= json.loads(text).items()


def test_sizes_have_transformers_general_names_too(folder, config):
    path = folder / "config.json"
    text = path.read_text()
    for name, general in [
        ("n_layer", "num_hidden_layers"),
        ("n_head", "num_attention_heads"),
        ("n_embd", "hidden_size"),
        ("n_positions", "max_position_embeddings"),
    ]:
        text = text.replace(f'"{name}"', f'"{general}"')
    path.write_text(text)
    assert read_config(folder) == config


def test_missing_and_broken_files_are_named(config, folder):
    with pytest.raises(InputError, match=r"nowhere/config\.json is not there"):
        read_config(folder / "nowhere")
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not JSON"):
        read_config(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json should be a JSON object"):
        read_config(folder)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read"):
        load_params(folder, config)
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"neither model\.safetensors nor pytorch"):
        load_params(folder, config)


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04torn"])
def test_a_broken_pytorch_bin_is_named(config, folder, content):
    pytest.importorskip("torch", reason="it reads pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(InputError, match=r"pytorch_model\.bin cannot be read"):
        load_params(folder, config)


def test_a_missing_weight_is_named(config, folder):
    change_arrays(folder, lambda arrays: arrays.pop("transformer.h.1.mlp.c_fc.bias"))
    with pytest.raises(InputError, match=r"no weight h\.1\.mlp\.c_fc\.bias"):
        load_params(folder, config)


def test_a_wrong_shape_is_named(config, folder):
    def transpose(arrays):
        name = "transformer.h.2.attn.c_attn.weight"
        arrays[name] = np.ascontiguousarray(arrays[name].T)

    change_arrays(folder, transpose)
    expected = r"h\.2\.attn\.c_attn\.weight should be \(36, 108\).*is \(108, 36\)"
    with pytest.raises(InputError, match=expected):
        load_params(folder, config)
