"""Runs that begin with --weights, started by the program's `main`."""

import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from gpt2_flax import run
from gpt2_flax.commands import export, sample, train
from gpt2_flax.loading import load_run
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers.gpt2_bpe import NUM_TOKENS
from gpt2_flax.weights import load_params, read_config, save_weights

SHAPE = {"num_layers": 1, "num_heads": 2, "embed_dim": 8}
PADDED = NUM_TOKENS + 47  # the vocabulary of many trained models
FLAGS = "--batch-size 2 --seq-len 16 --warmup-steps 1 --eval-batches 2 --backend xla"
HEAD, TOKENS = "lm_head.weight", "transformer.wte.weight"


@pytest.fixture
def weights(tmp_path):
    return tmp_path / "weights"


@pytest.fixture
def train_weights(weights, out):
    def train_with(*flags):
        return train.main([*FLAGS.split(), "--out", str(out), *map(str, flags)])

    return train_with


def save_model(folder, seed=0, **changes):
    model = GPT2Config(**SHAPE | changes, vocab_size=PADDED)
    save_weights(folder, model, init_params(model, seed))


def one_line(capsys):
    errors = capsys.readouterr().err.strip()
    assert errors.startswith("gpt2-flax: ")
    assert "\n" not in errors
    return errors


def fail_to_save(train_weights, monkeypatch, weights):
    """Leaves a run without a checkpoint, as an early crash of the machine does."""
    with monkeypatch.context() as broken:
        broken.setattr(run, "save_checkpoint", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_weights("--steps", 2, "--weights", weights)


@pytest.mark.parametrize("is_tied", [True, False])
def test_a_head_of_its_own_is_trained_and_exported(
    train_weights, weights, out, tmp_path, is_tied
):
    save_model(weights, tied_head=is_tied)
    assert train_weights("--steps", 2, "--weights", weights) == 0
    assert sample.main(["--out", str(out), "--num-tokens", "2"]) == 0
    exported = tmp_path / "exported"
    assert export.main(["--out", str(out), "--to", str(exported)]) == 0
    assert read_config(exported) == read_config(weights)
    before = load_file(weights / "model.safetensors")
    after = load_file(exported / "model.safetensors")
    assert after.keys() == before.keys()
    assert (HEAD in after) != is_tied
    for name in {HEAD, TOKENS} & after.keys():
        assert not np.array_equal(after[name], before[name])
    if not is_tied:
        assert not np.array_equal(after[HEAD], after[TOKENS])


def test_a_run_with_a_head_of_its_own_resumes_bit_for_bit(train_weights, weights, out):
    save_model(weights, tied_head=False)
    flags = ("--steps", 4, "--eval-every", 2, "--weights", weights)
    assert train_weights(*flags) == 0
    straight = run.read_metrics(out), load_run(out).params
    shutil.rmtree(out / "checkpoints" / "4")
    shutil.rmtree(weights)  # only the first step needs it
    assert train_weights("--resume") == 0
    assert run.read_metrics(out) == straight[0]
    jax.tree.map(np.testing.assert_array_equal, load_run(out).params, straight[1])


def test_resuming_from_the_start_needs_the_weights_of_the_start(
    train_weights, weights, out, monkeypatch, capsys
):
    save_model(weights)
    fail_to_save(train_weights, monkeypatch, weights)
    kept = shutil.copytree(weights, weights.with_name("kept"))
    save_model(weights, seed=1)
    capsys.readouterr()
    assert train_weights("--resume") == 2
    assert f"needs the weights that the run began with, and {weights}" in one_line(
        capsys
    )
    shutil.rmtree(weights)
    kept.rename(weights)
    assert train_weights("--resume") == 0


def test_a_run_keeps_the_shape_that_config_json_had_at_its_start(
    train_weights, weights, out, monkeypatch
):
    save_model(weights)
    assert train_weights("--steps", 2, "--weights", weights) == 0
    straight = run.read_metrics(out)
    shutil.rmtree(out)
    fail_to_save(train_weights, monkeypatch, weights)
    path = weights / "config.json"
    path.write_text(path.read_text().replace("1e-05", "0.5"))
    assert read_config(weights).norm_eps == 0.5
    assert train_weights("--resume") == 0
    assert run.read_metrics(out) == straight


def test_a_folder_with_another_tokenizer_starts_no_run(
    train_weights, weights, out, capsys
):
    save_model(weights)
    (weights / "vocab.json").write_text('{"a": 0}')
    assert train_weights("--steps", 2, "--weights", weights) == 2
    assert f"{weights}/vocab.json has a vocabulary of 1 tokens" in one_line(capsys)
    assert not out.exists()


def test_tensors_that_config_json_does_not_name_start_no_run(
    train_weights, weights, out, capsys
):
    save_model(weights, num_layers=12)
    path = weights / "config.json"
    path.write_text(path.read_text().replace('"n_layer": 12', '"n_layer": 2'))
    assert train_weights("--steps", 2, "--weights", weights) == 2
    assert "h.2.attn.c_attn.bias is not part of the GPT-2" in (line := one_line(capsys))
    assert "nor are 119 others" in line
    assert not out.exists()


def test_a_config_of_countless_layers_is_refused_at_once(
    train_weights, weights, capsys
):
    save_model(weights)
    path = weights / "config.json"
    path.write_text(path.read_text().replace('"n_layer": 1', '"n_layer": 2000000000'))
    assert train_weights("--steps", 2, "--weights", weights) == 2
    assert "no weight h.1999999999.ln_1.weight" in one_line(capsys)


def test_vocabularies_beyond_the_tokenizers_are_loaded_whole(weights):
    save_model(weights)
    params = load_params(weights, read_config(weights))
    assert params["tokens"]["embedding"].shape == (PADDED, 8)
