"""Fixtures of models and runs small enough to train within a test."""

import os
import shutil

import numpy as np
import pytest

import jax_npu
from gpt2_flax.commands import train
from gpt2_flax.data.cache import CACHE
from gpt2_flax.model import GPT2Config


@pytest.fixture(params=["xla", "host", pytest.param("sim", marks=pytest.mark.slow)])
def training_backend(request):
    """The fixture `backend` for runs of half a minute on `sim`, which is slow here."""
    if (chosen := os.environ.get("JAX_NPU_BACKEND")) not in (None, "", request.param):
        pytest.skip(f"$JAX_NPU_BACKEND is {chosen}")
    with jax_npu.backend(request.param):
        yield request.param


@pytest.fixture(scope="session", autouse=True)
def token_cache(tmp_path_factory):
    """An empty cache of tokens, so that none of another version is read."""
    folder = tmp_path_factory.mktemp("tokens")
    os.environ[CACHE] = str(folder)
    return folder


@pytest.fixture
def config():
    """Sizes that differ from one another, and are no powers of two where possible."""
    return GPT2Config(
        num_layers=3, num_heads=3, embed_dim=36, vocab_size=307, num_positions=24
    )


@pytest.fixture
def tokens(config):
    """Windows (B, T + 1) = (3, 18)."""
    return np.random.default_rng(0).integers(0, config.vocab_size, (3, 18))


@pytest.fixture(scope="session")
def tiny_flags():
    """Flags of a training run of a second or two, with GPT-2's whole vocabulary."""
    sizes = "--num-layers 1 --num-heads 2 --embed-dim 8 --batch-size 2 --seq-len 16"
    return [*sizes.split(), "--eval-batches=2"]


@pytest.fixture(scope="session")
def kept_run(tiny_flags, tmp_path_factory):
    """A run of two steps, for `finished_run` to copy."""
    out = tmp_path_factory.mktemp("kept") / "run"
    assert train.main([*tiny_flags, "--steps", "2", "--out", str(out)]) == 0
    return out


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def train_run(tiny_flags, out):
    """Trains in `out` with the tiny flags and those given, which win."""

    def train_with(*flags):
        return train.main([*tiny_flags, "--out", str(out), *map(str, flags)])

    return train_with


@pytest.fixture
def finished_run(kept_run, out):
    """`out`, holding a run of two steps."""
    return shutil.copytree(kept_run, out)
