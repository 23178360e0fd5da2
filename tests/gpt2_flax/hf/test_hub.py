"""Weights by a name on the Hub: downloaded once, found offline, refused in one line."""

import jax
import numpy as np
import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.hf import hub
from gpt2_flax.loading import load
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.weights import save_weights

huggingface_hub = pytest.importorskip("huggingface_hub")

from .fake_hub import COMMIT, hub_of  # noqa: E402

NAME = "someone/tiny-gpt2"
CONFIG = GPT2Config(1, 1, 4, num_positions=8)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    save_weights(folder, CONFIG, init_params(CONFIG, 0))
    (folder / "tf_model.h5").write_bytes(b"of another framework")
    (folder / "pytorch_model.bin").write_bytes(b"the same in another format")
    return folder


@pytest.fixture
def point_to(monkeypatch, tmp_path):
    """A function that has huggingface_hub ask an address, with a cache of the test."""

    def point(address, offline=False):
        hub.download.cache_clear()
        set_to = huggingface_hub.constants
        url = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(set_to, "ENDPOINT", address)
        monkeypatch.setattr(set_to, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        monkeypatch.setattr(set_to, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(set_to, "HF_HUB_OFFLINE", offline)

    return point


def test_a_name_is_downloaded_once_and_then_found_offline(folder, point_to):
    with hub_of({NAME: folder}) as (address, asked):
        point_to(address)
        model = load(NAME)
        fetched = {path.rpartition("/")[2] for method, path in asked if method == "GET"}
        assert "tf_model.h5" not in fetched
        assert "pytorch_model.bin" not in fetched  # model.safetensors has them
        before = len(asked)
        point_to(address, offline=True)
        again = load(NAME)
        assert len(asked) == before
    point_to(address, offline=False)  # the server is gone: the cache answers
    third = load(NAME)
    assert model.config == CONFIG
    for other in (again, third):
        jax.tree.map(np.testing.assert_array_equal, other.params, model.params)
    assert hub.folder_of(NAME).name == COMMIT


def test_weights_in_shards_are_downloaded_whole(folder, point_to, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    (folder / "pytorch_model.bin").unlink()
    (folder / "tf_model.h5").unlink()
    model = transformers.GPT2LMHeadModel.from_pretrained(folder)
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="300KB")
    assert len(list(sharded.glob("*-of-*"))) > 1
    with hub_of({NAME: sharded}) as (address, _):
        point_to(address)
        found = load(f"{NAME}@main")
    embedding = model.transformer.wte.weight
    assert torch.equal(
        torch.from_numpy(np.array(found.params["tokens"]["embedding"])), embedding
    )


def test_short_names_are_those_of_openais_models(folder, point_to):
    with hub_of({"openai-community/gpt2-medium": folder}) as (address, _):
        point_to(address)
        assert hub.folder_of("gpt2-medium").parts[-1] == COMMIT


def test_a_folder_wins_over_a_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert hub.folder_of("model").samefile(folder)


@pytest.mark.parametrize(
    ("source", "offline", "message"),
    [
        ("no/such/folder", False, "is none of them"),
        ("someone/unknown", False, "is no folder here, and the Hub .* does not give"),
        ("someone/unknown", True, "the cache has not, and the Hub .* cannot be asked"),
        ("", False, "is none of them"),
    ],
)
def test_what_is_neither_is_refused_in_one_line(
    folder, point_to, source, offline, message
):
    with hub_of({NAME: folder}) as (address, _):
        point_to(address, offline)
        with pytest.raises(InputError, match=message) as refusal:
            load(source)
    assert "\n" not in str(refusal.value)
