"""The files of a Hugging Face folder: which are read, and which are refused."""

import json
import os

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gpt2_flax.errors import InputError
from gpt2_flax.hf.tensors import open_tensors
from gpt2_flax.model import init_params
from gpt2_flax.weights import load_params, read_config, save_weights

INDEX = "model.safetensors.index.json"
WTE = "transformer.wte.weight"


@pytest.fixture
def folder(config, tmp_path):
    save_weights(tmp_path, config, init_params(config, 0))
    return tmp_path


@pytest.fixture
def arrays(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture
def shards(folder, arrays):
    """`folder` with its tensors in two shards; their names and what is in each."""
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    parts = {
        "model-00001-of-00002.safetensors": names[::2],
        "model-00002-of-00002.safetensors": names[1::2],
    }
    for file, part in parts.items():
        save_file({name: arrays[name] for name in part}, folder / file)
    write_index(folder, {name: file for file, part in parts.items() for name in part})
    return list(parts)


def write_index(folder, files):
    (folder / INDEX).write_text(json.dumps({"weight_map": files}))


def index_of(folder):
    return json.loads((folder / INDEX).read_text())["weight_map"]


def refusal(folder):
    with pytest.raises(InputError) as refused:
        open_tensors(folder)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_shards_give_what_one_file_gives(config, folder, shards):
    assert read_config(folder) == config
    loaded = load_params(folder, config)
    jax.tree.map(np.testing.assert_array_equal, loaded, init_params(config, 0))


def test_a_whole_file_goes_before_shards_as_in_transformers(folder, arrays, shards):
    save_file({WTE: -arrays[WTE]}, folder / "model.safetensors")
    tensors = open_tensors(folder)
    assert list(tensors) == ["wte.weight"]
    np.testing.assert_array_equal(tensors["wte.weight"].read(), -arrays[WTE])


def test_a_missing_shard_is_named(folder, shards):
    (folder / shards[1]).unlink()
    assert f"{folder / shards[1]} is not there" in refusal(folder)


def test_a_tensor_that_the_index_lacks_is_named(folder, shards):
    write_index(folder, {n: f for n, f in index_of(folder).items() if n != WTE})
    assert f"holds {WTE}, which {folder / INDEX} says is nowhere" in refusal(folder)


def test_a_tensor_in_two_shards_is_named(folder, arrays, shards):
    extra = {**load_file(folder / shards[0]), **load_file(folder / shards[1])}
    save_file(extra, folder / shards[1])
    assert f"says is in {shards[0]}" in refusal(folder)


def test_a_tensor_that_only_the_index_has_is_named(folder, shards):
    write_index(folder, {**index_of(folder), "more": shards[0]})
    assert f"says that more is in {shards[0]}, and it is not" in refusal(folder)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "should be a JSON object"),
        ("{}", "should map names to shards in weight_map"),
        ('{"weight_map": {"a": "../b.safetensors"}}', "a file name for a, got '../b"),
        ('{"weight_map": {"a": 3}}', "a file name for a, got 3"),
    ],
)
def test_a_damaged_index_is_named(folder, shards, index, message):
    (folder / INDEX).write_text(index)
    assert refusal(folder).startswith(str(folder / INDEX))
    assert message in refusal(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_called_so(folder, name):
    (folder / "model.safetensors").unlink()
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"
    (folder / name).write_text(text)
    assert f"{folder / name} is a pointer of Git LFS" in refusal(folder)


def test_a_folder_or_a_broken_link_for_the_file_is_refused(folder):
    path = folder / "model.safetensors"
    path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"not asked for")
    path.mkdir()
    assert f"{path} is not a file" in refusal(folder)
    path.rmdir()
    path.symlink_to("gone")
    assert f"{path} is not a file" in refusal(folder)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_cut_file_is_named(folder, kept):
    path = folder / "model.safetensors"
    os.truncate(path, kept if kept >= 0 else path.stat().st_size + kept)
    assert f"{path} cannot be read" in refusal(folder)


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "model.gguf"])
def test_weights_of_other_frameworks_are_named(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    message = refusal(folder)
    assert "has neither model.safetensors nor pytorch_model.bin" in message
    assert f"{name} cannot be read" in message


@pytest.mark.parametrize(
    "name",
    ["adapter_config.json", "shard-00001-model-00001-of-00002.safetensors"],
)
def test_what_transformers_would_read_besides_is_refused(folder, name):
    (folder / name).write_text("{}")
    assert str(folder / name) in refusal(folder)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda torch: [1, 2], "should hold a dict of tensors, not <class 'list'>"),
        (lambda torch: {"model": {}}, "should hold tensors only, and 'model' is"),
        (lambda torch: {3: torch.ones(2)}, "should hold tensors only, and 3 is"),
        (lambda torch: {"a": torch.eye(2).to_sparse()}, "a should be dense"),
    ],
)
def test_a_pickle_of_anything_but_tensors_is_refused(folder, make, message):
    torch = pytest.importorskip("torch", reason="it reads pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    torch.save(make(torch), folder / "pytorch_model.bin")
    assert message in refusal(folder)
