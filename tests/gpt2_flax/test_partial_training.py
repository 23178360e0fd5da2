"""Runs that train a part of a model, or with less memory, and what becomes of them."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from gpt2_flax import run
from gpt2_flax.adapters.saved import merged_params, restore_params
from gpt2_flax.commands import export, train
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.weights import load_params, read_config, save_weights

from .runs import one_line

CONFIG = GPT2Config(
    num_layers=2, num_heads=2, embed_dim=8, num_positions=16, vocab_size=20_000
)
EMBEDDING_BYTES = CONFIG.vocab_size * CONFIG.embed_dim * 4
FLAGS = "--batch-size 4 --seq-len 8 --eval-batches 1 --warmup-steps 0 --backend xla"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "weights"
    save_weights(folder, CONFIG, init_params(CONFIG, 0))
    load_tokenizer("bytes").save(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"unknown_key": 3}))
    (folder / "generation_config.json").write_text('{"temperature": 0.25}')
    return folder


def train_with(out, *flags):
    return train.main([*FLAGS.split(), "--out", str(out), *map(str, flags)])


RECIPES = {
    "dora": "--adapter dora --lora-rank 2 --accumulate 2 --remat attention",
    "frozen": "--freeze wte wpe h.0 --moments bf16 --dropout 0.2 --remat blocks",
}


@pytest.fixture(
    scope="module", params=["dora", pytest.param("frozen", marks=pytest.mark.slow)]
)
def recipe(request, weights, tmp_path_factory):
    """A finished run of four steps with a checkpoint after two, and its name."""
    out = tmp_path_factory.mktemp("runs") / request.param
    flags = (*RECIPES[request.param].split(), "--steps", 4, "--eval-every", 2)
    assert train_with(out, "--weights", weights, *flags) == 0
    return out, request.param


def test_only_what_is_trained_has_state_and_changes(recipe, weights):
    out, name = recipe
    before = load_params(weights, read_config(weights))
    _, parts, params = restore_params(out)
    trained, frozen = parts.split(params)
    unchanged = parts.split(params)[1]
    if name == "frozen":
        kept = parts.split(before)[1]
        jax.tree.map(np.testing.assert_array_equal, kept, unchanged)
        assert set(trained) == {"blocks", "norm"}
        assert set(trained["blocks"]) == {1}
    else:
        jax.tree.map(np.testing.assert_array_equal, frozen, before)
        leaves = trained["blocks"][1]["mlp"]["fc"]
        assert set(leaves) == {"lora_a", "lora_b", "lengths"}
    assert (out / run.FROZEN).stat().st_size > EMBEDDING_BYTES
    size = sum(p.stat().st_size for p in (out / "checkpoints").rglob("*"))
    assert size < EMBEDDING_BYTES  # of two checkpoints


def test_it_resumes_to_the_bit(recipe, tmp_path):
    out, _ = recipe
    again = shutil.copytree(out, tmp_path / "again")
    shutil.rmtree(again / "checkpoints" / "4")
    assert train_with(again, "--resume") == 0
    assert run.read_metrics(again) == run.read_metrics(out)
    both = (restore_params(folder)[2] for folder in (again, out))
    jax.tree.map(np.testing.assert_array_equal, *both)


def test_a_damaged_frozen_parameter_is_found(recipe, tmp_path, capsys):
    out, _ = recipe
    again = shutil.copytree(out, tmp_path / "again")
    content = bytearray((again / run.FROZEN).read_bytes())
    content[-5] ^= 1
    (again / run.FROZEN).write_bytes(content)
    assert export.main(["--out", str(again), "--to", str(tmp_path / "x")]) == 2
    assert "frozen.safetensors has another checksum" in one_line(capsys)


def test_its_export_is_the_merged_model_with_the_settings_of_its_source(
    recipe, weights, tmp_path
):
    out, _ = recipe
    to = tmp_path / "exported"
    assert export.main(["--out", str(out), "--to", str(to)]) == 0
    config, params = merged_params(out)
    assert read_config(to) == config
    jax.tree.map(np.testing.assert_array_equal, load_params(to, config), params)
    before, after = (load_file(f / "model.safetensors") for f in (weights, to))
    assert after.keys() == before.keys()
    assert np.any(after[key := "transformer.h.1.mlp.c_fc.weight"] != before[key])
    assert json.loads((to / "config.json").read_text())["unknown_key"] == 3
    text = (to / "generation_config.json").read_text()
    assert json.loads(text) == {"temperature": 0.25}
    assert str(weights) not in (to / "README.md").read_text()


def test_a_run_goes_on_from_another_ones_weights_or_adapter(recipe, weights, tmp_path):
    out, name = recipe
    flags = ["--steps", 1, "--lr", 1e-9]
    if name == "dora":
        adapter = tmp_path / "adapter"
        format = ["--format", "peft"]
        assert export.main(["--out", str(out), "--to", str(adapter), *format]) == 0
        flags += ["--weights", weights, "--adapter", adapter]
    else:
        flags += ["--weights", out]
    next_run = tmp_path / "next"
    assert train_with(next_run, *flags) == 0
    first = run.read_metrics(next_run)[0]
    assert first["step"] == 0
    last = run.read_metrics(out)[-1]
    assert first["val_loss"] == pytest.approx(last["val_loss"], rel=1e-6)
    both = (merged_params(folder)[1] for folder in (next_run, out))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), *both)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--freeze h.7", "--freeze h.7 fits no weight"),
        ("--freeze wte wpe h ln_f", "leaves no weight to train"),
        ("--adapter lora --freeze wte", "drop --freeze"),
        ("--adapter lora --lora-targets wte", "got 'wte'"),
        ("--adapter lora --lora-rank 0", "--lora-rank must be at least 1, got 0"),
        ("--lora-rank 3", "--lora-rank describe a new adapter"),
        ("--adapter nowhere", "--adapter must be lora, dora or a folder"),
        ("--accumulate 3", "--batch-size 4 must be a multiple"),
        ("--dropout 1.0", "--dropout must be at least 0 and below 1"),
        ("--dropout much", "--dropout must be at least 0 and below 1"),
        ("--remat all", "--remat must be one of none, attention, blocks"),
        ("--moments bf16 --beta2 0.999", "--beta2 of at most 0.99, got 0.999"),
        ("--moments bf16 --optimizer lion", "drop it, or --optimizer lion"),
    ],
)
def test_flags_that_do_not_fit_start_no_run(flags, message, weights, out, capsys):
    assert train_with(out, "--weights", weights, *flags.split()) == 2
    assert message in one_line(capsys)
    assert not out.exists()
