"""Folders with GPT-2's own tokenizer in each form, and with others almost like it."""

import copy
import json

import pytest

from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers.gpt2_bpe import bpe_ranks_and_ids, gpt2_encoding
from gpt2_flax.tokenizers.gpt2_files import check_tokenizer
from gpt2_flax.tokenizers.protocol import END_OF_TEXT

MERGES, IDS = bpe_ranks_and_ids()
END = {
    "id": 50256,
    "content": END_OF_TEXT,
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
PIPELINE = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [END],
    "normalizer": None,
    "pre_tokenizer": BYTE_LEVEL,
    "post_processor": BYTE_LEVEL | {"trim_offsets": False},
    "decoder": BYTE_LEVEL,
    "model": {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "vocab": IDS,
        "merges": MERGES,
    },
}
SPECIAL = {f"{kind}_token": END_OF_TEXT for kind in ("bos", "eos", "unk", "pad")}


def write(folder, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")


def swapped(mapping):
    """The vocabulary with the ids of two tokens exchanged."""
    return {**mapping, "a": mapping["b"], "b": mapping["a"]}


def changed(**parts):
    """PIPELINE with these parts replaced; those of `model` one by one."""
    fields = copy.copy(PIPELINE)
    return fields | parts | {"model": PIPELINE["model"] | parts.get("model", {})}


STOCK = [
    {},
    {"vocab.json": IDS, "merges.txt": "#version: 0.2\n" + "\n".join(MERGES) + "\n"},
    {"merges.txt": "\n".join(MERGES)},
    {"tokenizer.json": PIPELINE},
    {"tokenizer.json": changed(model={"merges": [m.split(" ") for m in MERGES]})},
    {
        "tokenizer.json": changed(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 1}},
                ],
                "special_tokens": {},
            }
        )
    },
    {"tokenizer.json": changed(post_processor=None)},
    {
        "tokenizer.json": changed(
            model={"vocab": {k: v for k, v in IDS.items() if k != END_OF_TEXT}}
        )
    },
    {
        "tokenizer.json": changed(
            truncation={
                "direction": "Right",
                "max_length": 4,
                "strategy": "LongestFirst",
                "stride": 0,
            }
        )
    },
    {"special_tokens_map.json": SPECIAL},
    {"special_tokens_map.json": {"eos_token": END}},
    {"added_tokens.json": {}},
    {"added_tokens.json": {END_OF_TEXT: 50256}},
    {"tokenizer_config.json": {"model_max_length": 1024}},
    {
        "tokenizer_config.json": {
            **SPECIAL,
            "tokenizer_class": "GPT2Tokenizer",
            "add_prefix_space": False,
            "add_bos_token": False,
            "pad_token": None,
            "added_tokens_decoder": {"50256": END},
            "additional_special_tokens": [],
            "extra_special_tokens": {},
        }
    },
    {"config.json": {"tokenizer_class": "GPT2TokenizerFast"}},
]


@pytest.mark.parametrize("files", STOCK, ids=lambda files: " ".join(files) or "none")
def test_gpt2s_own_tokenizer_is_taken_in_each_of_its_forms(tmp_path, files):
    for name, content in files.items():
        write(tmp_path, name, content)
    check_tokenizer(tmp_path)


WHOLE = [files for files in STOCK if files.keys() & {"tokenizer.json", "vocab.json"}]


@pytest.mark.parametrize("files", WHOLE, ids=" ".join)
def test_transformers_encodes_with_each_form_as_we_do(tmp_path, files):
    transformers = pytest.importorskip("transformers", reason="it is the reference")
    for name, content in {"config.json": {"model_type": "gpt2"}, **files}.items():
        write(tmp_path, name, content)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = " Hello,  wörld!\n\n\tdef f(x):\r\n    return 'ß' + x²  # 漢字 🙂 \u200b's"
    assert theirs(text).input_ids == gpt2_encoding().encode_ordinary(text)


OTHERS = [
    ("vocab.json", swapped(IDS), "vocabulary of 50257 tokens, not GPT-2's .*'a'"),
    ("vocab.json", {"a": 0}, "vocabulary of 1 tokens, not GPT-2's"),
    ("vocab.json", IDS | {"a new one": 50257}, "of 50258 .*'a new one'"),
    ("vocab.json", [], "should be a JSON object"),
    ("merges.txt", "a b", "1 merges that are not GPT-2's"),
    ("merges.txt", "\n".join(MERGES[::-1]), "50000 merges that are not"),
    ("merges.txt", "\n".join(MERGES[:-1]), "49999 merges that are not"),
    ("added_tokens.json", {"[PAD]": 50257}, r"the added token '\[PAD\]'"),
    ("added_tokens.json", {END_OF_TEXT: 0}, "'<|endoftext|>' with id 0"),
    ("special_tokens_map.json", {"pad_token": "[PAD]"}, r"pad_token '\[PAD\]'"),
    ("special_tokens_map.json", {"bos_token": {"content": "<s>"}}, "bos_token '<s>'"),
    ("special_tokens_map.json", {"eos_token": END | {"lstrip": True}}, "lstrip = True"),
    ("special_tokens_map.json", {"additional_special_tokens": ["<u>"]}, "'<u>'"),
    ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "BertTokenizer"),
    ("tokenizer_config.json", {"add_prefix_space": True}, "add_prefix_space = True"),
    ("tokenizer_config.json", {"add_bos_token": True}, "add_bos_token = True"),
    ("tokenizer_config.json", {"extra_special_tokens": {"i": "<i>"}}, "'<i>'"),
    (
        "tokenizer_config.json",
        {"added_tokens_decoder": {"50257": {"content": "<u>"}}},
        "the added token '<u>'",
    ),
    ("tokenizer_config.json", {"added_tokens_decoder": [1]}, "is not laid out as"),
    ("config.json", {"tokenizer_class": "BertTokenizer"}, "BertTokenizer"),
    ("tokenizer.json", {}, "model = None"),
    ("tokenizer.json", changed(model={"vocab": swapped(IDS)}), "not GPT-2's"),
    ("tokenizer.json", changed(model={"merges": MERGES[1:]}), "49999 merges"),
    ("tokenizer.json", changed(model={"type": "Unigram"}), "type = 'Unigram'"),
    ("tokenizer.json", changed(model={"dropout": 0.1}), "dropout = 0.1"),
    ("tokenizer.json", changed(model={"ignore_merges": True}), "ignore_merges = True"),
    ("tokenizer.json", changed(normalizer={"type": "NFC"}), "normalizer = .*NFC"),
    ("tokenizer.json", changed(pre_tokenizer=None), "type = None"),
    (
        "tokenizer.json",
        changed(pre_tokenizer=BYTE_LEVEL | {"add_prefix_space": True}),
        "add_prefix_space = True",
    ),
    (
        "tokenizer.json",
        changed(pre_tokenizer=BYTE_LEVEL | {"use_regex": False}),
        "use_regex = False",
    ),
    ("tokenizer.json", changed(pre_tokenizer={"type": "Whitespace"}), "'Whitespace'"),
    (
        "tokenizer.json",
        changed(added_tokens=[END, END | {"id": 50257, "content": "<u>"}]),
        "the added token '<u>'",
    ),
    (
        "tokenizer.json",
        changed(
            post_processor={
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": END_OF_TEXT}}, {"Sequence": {}}],
            }
        ),
        "post_processor = .*SpecialToken",
    ),
    ("tokenizer.json", "{", "is not JSON"),
    ("spiece.model", "", "another kind of tokenizer"),
    ("vocab.txt", "", "another kind of tokenizer"),
]


@pytest.mark.parametrize(("name", "content", "message"), OTHERS)
def test_another_tokenizer_is_refused_in_one_line(tmp_path, name, content, message):
    write(tmp_path, name, content)
    with pytest.raises(InputError, match=rf"^{tmp_path}/{name}.*{message}.*$"):
        check_tokenizer(tmp_path)
