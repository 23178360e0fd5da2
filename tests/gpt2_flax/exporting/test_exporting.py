"""Exports, opened by the libraries that they are for."""

import json

import jax
import numpy as np
import pytest

from gpt2_flax import run
from gpt2_flax.commands import export
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.tokenizers import load_tokenizer
from gpt2_flax.weights import save_weights

from ..runs import one_line

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")

TEXT = "Hello world, été 日本 <|endoftext|> \n\n  42"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights as transformers writes them, with a vocabulary beyond the tokenizer's."""
    folder = tmp_path_factory.mktemp("source") / "source"
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=8, n_positions=16, vocab_size=50300, pad_token_id=7
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.generation_config.max_new_tokens = 12
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    to = tmp_path_factory.mktemp("exported") / "folder"
    assert export.main(["--weights", str(folder), "--to", str(to)]) == 0
    return to


def test_auto_classes_open_the_folder_with_the_same_bits(folder, exported):
    before, after = map(
        transformers.AutoModelForCausalLM.from_pretrained, (folder, exported)
    )
    assert before.state_dict().keys() == after.state_dict().keys()
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, after.state_dict()[name]), name
    assert after.config.pad_token_id == 7
    assert after.generation_config.max_new_tokens == 12
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    ids = load_tokenizer().encode(TEXT)
    assert tokenizer(TEXT).input_ids == ids
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer.eos_token == "<|endoftext|>"


def test_the_weights_file_has_the_bytes_of_its_source(folder, exported):
    before, after = (f / "model.safetensors" for f in (folder, exported))
    assert before.read_bytes() == after.read_bytes()


@pytest.fixture(scope="module")
def gguf_file(folder, tmp_path_factory):
    to = tmp_path_factory.mktemp("gguf") / "model.gguf"
    flags = ["--weights", str(folder), "--to", str(to), "--format", "gguf"]
    assert export.main(flags) == 0
    return to


def test_ggufs_library_reads_back_every_tensor_and_token(folder, gguf_file):
    reader = gguf.GGUFReader(gguf_file)
    model = transformers.GPT2LMHeadModel.from_pretrained(folder)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, 2)
    found = {tensor.name: np.asarray(tensor.data) for tensor in reader.tensors}
    for name, tensor in model.transformer.state_dict().items():
        module, leaf = f"transformer.{name}".rsplit(".", 1)
        key = f"{names.get_name(module)}.{leaf}"
        is_transposed = module.split(".")[-1].startswith("c_") and leaf == "weight"
        expected = tensor.T if is_transposed else tensor
        np.testing.assert_array_equal(found.pop(key), expected.numpy(), key)
    assert not found
    value = {name: field.contents() for name, field in reader.fields.items()}
    assert value["general.architecture"] == value["tokenizer.ggml.model"] == "gpt2"
    assert value["gpt2.block_count"] == 2
    assert value["gpt2.attention.layer_norm_epsilon"] == pytest.approx(1e-5)
    tokens = value["tokenizer.ggml.tokens"]
    assert len(tokens) == 50300
    assert tokens[15496] == "Hello"
    assert tokens[value["tokenizer.ggml.eos_token_id"]] == "<|endoftext|>"


@pytest.mark.slow
def test_transformers_computes_the_same_from_the_gguf_file(folder, gguf_file):
    # transformers 5.24 takes context_length for n_ctx, which it does not use.
    from_gguf = transformers.GPT2LMHeadModel.from_pretrained(
        gguf_file.parent, gguf_file=gguf_file.name, n_positions=16
    ).eval()
    plain = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        assert torch.equal(from_gguf(tokens).logits, plain(tokens).logits)


def test_what_llama_cpp_does_not_compute_is_refused(tmp_path, capsys):
    config = GPT2Config(1, 1, 4, num_positions=8, activation_function="relu")
    save_weights(tmp_path / "relu", config, init_params(config, 0))
    flags = ["--weights", str(tmp_path / "relu"), "--to", str(tmp_path / "x.gguf")]
    assert export.main([*flags, "--format", "gguf"]) == 2
    assert "activation_function = gelu_new only, and this" in one_line(capsys)
    assert not (tmp_path / "x.gguf").exists()


def test_a_full_disk_is_one_line(finished_run, tmp_path, capsys, monkeypatch):
    def save(*_):
        np.ones(1 << 16).tofile("/dev/full")

    monkeypatch.setattr(export, "save_gguf", save)
    flags = ["--out", str(finished_run), "--to", str(tmp_path / "x.gguf")]
    assert export.main([*flags, "--format", "gguf"]) == 2
    assert "x.gguf; delete what it holds, and make space" in one_line(capsys)


def test_a_run_without_an_adapter_has_none_to_export(finished_run, tmp_path, capsys):
    flags = ["--out", str(finished_run), "--to", str(tmp_path / "x")]
    assert export.main([*flags, "--format", "peft"]) == 2
    assert "has no adapter" in one_line(capsys)


def test_a_run_from_scratch_says_what_ends_a_text(finished_run, tmp_path, capsys):
    to = tmp_path / "folder"
    assert export.main(["--out", str(finished_run), "--to", str(to)]) == 0
    steps = run.read_run(finished_run)["train"]["steps"]
    assert f"{to}: step {steps} of {steps}, for Auto" in capsys.readouterr().out
    for name in ("config.json", "generation_config.json"):
        assert json.loads((to / name).read_text())["eos_token_id"] == 50256
    card = (to / "README.md").read_text()
    assert "library_name: transformers" in card
    assert f"{sum(x.size for x in jax.tree.leaves(loaded(to))):,} parameters" in card


def loaded(folder):
    model = transformers.GPT2LMHeadModel.from_pretrained(folder)
    return [parameter.numpy(force=True) for parameter in model.parameters()]
