import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt2_flax.errors import InputError
from gpt2_flax.model import init_params
from gpt2_flax.weights import load_params, read_config, save_weights


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
        ({"activation_function": "relu"}, "activation_function = 'relu'.*gelu_new"),
        ({"n_inner": 100}, "n_inner = 100.*None or 144"),
        ({"scale_attn_by_inverse_layer_idx": True}, "supports False only"),
        ({"n_head": 5}, "n_embd = 36 and n_head = 5.*must be a multiple"),
    ],
)
def test_models_that_are_another_gpt2_are_refused(folder, fields, message):
    change_config(folder, **fields)
    with pytest.raises(InputError, match=message):
        read_config(folder)


def test_a_config_that_fits_in_other_words_is_read(folder, config):
    change_config(folder, n_inner=144, activation_function="gelu_pytorch_tanh")
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
