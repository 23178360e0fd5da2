"""Every kind of tokenizer: ids and back, what is saved, and folders with their own."""

import json

import pytest
from tokenizers import ByteLevelBPETokenizer

from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import END_OF_TEXT, load_tokenizer
from gpt2_flax.tokenizers.char_tokenizer import CharTokenizer

TEXT = "naïve Größe 東京 🙂\u200d\t\x00\r\n  they're I'll 1234567 ½\n\n\nend "


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    """A folder with a small byte-level tokenizer of its own, and none of GPT-2's."""
    folder = tmp_path_factory.mktemp("own")
    library = ByteLevelBPETokenizer()
    words = ["der Hund und die Katze, " * 20, "1 2 3\n" * 20]
    library.train_from_iterator(words, 300, special_tokens=["</s>"])
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    return folder


@pytest.fixture(params=["gpt2", "bytes", "chars", "own"])
def tokenizer(request, own_folder):
    if request.param == "chars":
        return CharTokenizer(set(TEXT), has_end=True)
    return load_tokenizer(own_folder if request.param == "own" else request.param)


def test_decoding_gives_the_text_back(tokenizer):
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert max(ids) < tokenizer.num_tokens
    assert tokenizer.encode_plain(TEXT).tolist() == ids


def test_texts_at_once_have_the_tokens_of_each(tokenizer):
    texts = ["", TEXT, " end", "", "  ", "東京"]
    found = [ids.tolist() for ids in tokenizer.encode_each(texts)]
    assert found == [tokenizer.encode_plain(text).tolist() for text in texts]


def test_end_of_text_in_a_text_is_its_token(tokenizer):
    end = tokenizer.end_of_text
    both = tokenizer.encode(f"end{END_OF_TEXT} end")
    assert both == [*tokenizer.encode("end"), end, *tokenizer.encode(" end")]
    assert both.count(end) == 1


def test_a_saved_tokenizer_is_the_same_for_us_and_for_transformers(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers", reason="it is the reference")
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.fingerprint == tokenizer.fingerprint
    assert type(again) is type(tokenizer)
    assert again.end_of_text == tokenizer.end_of_text
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer.encode(TEXT)
    assert theirs(TEXT).input_ids == ids
    assert theirs.decode(ids, clean_up_tokenization_spaces=False) == TEXT
    assert theirs.eos_token_id == tokenizer.end_of_text


def test_characters_are_numbered_by_code_point():
    tokenizer = CharTokenizer(set("hello\n"), has_end=False)
    assert tokenizer.characters == ["\n", "e", "h", "l", "o"]
    assert tokenizer.encode("hello") == [2, 1, 3, 3, 4]
    assert (tokenizer.num_tokens, tokenizer.end_of_text) == (5, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("help", r"do not include 'p'.*--tokenizer bytes"),
        (f"h{END_OF_TEXT}e", "have no token that ends a document"),
    ],
)
def test_what_characters_cannot_say_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        CharTokenizer(set("hello"), has_end=False).encode(text)


def test_bytes_that_are_no_character_are_replaced():
    assert load_tokenizer("bytes").decode([65, 0xFF, 66]) == "A\ufffdB"


def test_a_folder_with_vocabulary_and_merges_is_read_without_tokenizer_json(
    own_folder, tmp_path
):
    model = json.loads((own_folder / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    own = load_tokenizer(own_folder)
    assert load_tokenizer(tmp_path).encode(TEXT) == own.encode(TEXT)


PLAIN = {"version": "1.0", "added_tokens": []}
BROKEN = [
    ("tokenizer.json", "{", "tokenizer.json cannot be read as a tokenizer"),
    ("tokenizer.json", "[]", "tokenizer.json cannot be read as a tokenizer"),
    ("tokenizer.json", "\xff\xfe", "tokenizer.json cannot be read as a tokenizer"),
    (
        "tokenizer.json",
        json.dumps(PLAIN | {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}),
        "has no token for 'b'",
    ),
    ("tokenizer_config.json", "{", "tokenizer_config.json is not JSON"),
    ("tokenizer_config.json", "[]", "should be a JSON object"),
    ("tokenizer_config.json", '{"gpt2_flax": "chars"}', "tokenizer.json is damaged"),
    ("vocab.txt", "", "another kind of tokenizer"),
]


@pytest.mark.parametrize(("name", "content", "message"), BROKEN)
def test_a_damaged_tokenizer_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, "latin-1")
    with pytest.raises(InputError, match=message) as raised:
        load_tokenizer(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_no_tokenizer_is_one_line(tmp_path):
    with pytest.raises(InputError, match="gpt2, bytes, chars or a folder"):
        load_tokenizer(tmp_path / "nowhere")
