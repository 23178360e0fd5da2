"""Files of every kind, whole and with every defect: tokens, or an error of one line."""

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

from gpt2_flax.data import load_text
from gpt2_flax.data.sources import find_sources
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import END_OF_TEXT, load_tokenizer

DOCUMENTS = ["A first text.\n", "Größe and 東京, 2 lines\nof it", "last"]
BYTES = load_tokenizer("bytes")


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def parquet(records):
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), buffer)
    return buffer.getvalue()


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


TEXT = END_OF_TEXT.join(DOCUMENTS)
RECORDS = [{"text": text, "id": i} for i, text in enumerate(DOCUMENTS)]
IDS = np.array([i for t in DOCUMENTS for i in [256, *t.encode()]] + [256])
LLM_C = np.zeros(256, "<i4")
LLM_C[:3] = 20240520, 1, len(IDS)
CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "4"},
]
WHOLE = {
    "a.txt": TEXT.encode(),
    "a.md": b"\xef\xbb\xbf" + TEXT.encode(),
    "no-suffix": TEXT.encode(),
    "crlf.txt": TEXT.replace("\n", "\r\n").encode(),
    "a.txt.gz": gzip.compress(TEXT.encode()),
    "a.txt.bz2": bz2.compress(TEXT.encode()),
    "a.txt.xz": lzma.compress(TEXT.encode()),
    "a.txt.zst": zstandard.compress(TEXT.encode()),
    "a.jsonl": jsonl(RECORDS),
    "blank.ndjson": b"\xef\xbb\xbf" + jsonl(RECORDS).replace(b"\n", b"\r\n\r\n"),
    "a.jsonl.gz": gzip.compress(jsonl(RECORDS)),
    "a.parquet": parquet(RECORDS),
    "a.bin": IDS.astype("<u2").tobytes(),
    "llm-c.bin": LLM_C.tobytes() + IDS.astype("<u2").tobytes(),
    "a.bin.xz": lzma.compress(IDS.astype("<u2").tobytes()),
    "a.npy": npy(IDS.astype(np.int64)),
}


@pytest.fixture
def tokens(tmp_path):
    """The tokens of files with that content, by bytes."""

    def read(*names, **files):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        return load_text([str(tmp_path / name) for name in names], BYTES).tokens

    return read


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_of_each_kind_gives_its_documents(tokens, name):
    store = tokens(name, **{name: WHOLE[name]})
    assert store.tokens.tolist() == IDS.tolist()
    assert store.loss_mask is None
    ends = np.flatnonzero(IDS == 256)
    assert store.starts.tolist() == ends.tolist()


BROKEN = {
    "empty.txt": (b"", "is empty"),
    "blank.txt": (b" \r\n\t\n", "is empty"),
    "latin.txt": ("naïve".encode("latin-1"), "not UTF-8: byte 0xef at offset 2"),
    "cut.md": ("naïve".encode()[:3], "not UTF-8: byte 0xc3 at offset 2"),
    "utf-16.txt": ("text".encode("utf-16"), "is UTF-16, not UTF-8"),
    "zero.txt": (b"some\0text", "a NUL byte at offset 4"),
    "scan.txt": (b"%PDF-1.4\n%\xe2\xe3", "is a PDF; .* pdftotext"),
    "letter.docx": (b"PK\3\4\x14\0", "a ZIP archive.* save its text as .txt"),
    "gzipped.txt": (gzip.compress(b"a"), "by gzip; add .gz to its name"),
    "cut.txt.gz": (gzip.compress(TEXT.encode() * 9)[:-12], "cut.txt.gz is damaged"),
    "not.txt.gz": (b"plain", "not.txt.gz is damaged"),
    "cut.txt.bz2": (bz2.compress(TEXT.encode())[:-12], "is damaged"),
    "not.txt.bz2": (b"plain", "is damaged"),
    "cut.txt.xz": (lzma.compress(TEXT.encode())[:-12], "is damaged"),
    "not.txt.xz": (b"plain", "is damaged"),
    "not.txt.zst": (b"plain", "is damaged"),
    "empty.jsonl": (b"\n", "is empty"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": ', "line 2 is not JSON"),
    "list.jsonl": (b"[1, 2]\n", "line 1 should be an object"),
    "other.jsonl": (b'{"body": "a"}\n', "line 1 needs a field text.*and has body"),
    "number.jsonl": (b'{"text": 3}\n', "line 1: text should be a text, and is int"),
    "null.jsonl": (b'{"text": null}\n', "line 1: text should be a text, and is noth"),
    "half.jsonl": (b'{"text": "a\\ud800"}\n', "line 1 has .*half of a character"),
    "latin.jsonl": ('{"text": "ï"}'.encode("latin-1"), "line 1 is not UTF-8"),
    "zero.jsonl": (b'{"text": "a\0"}\n', "line 1 is not JSON"),
    "deep.jsonl": (b"[" * 10**6, "line 1 is not JSON"),
    "alone.jsonl": (b'{"completion": "a"}\n', "line 1: prompt should be a text"),
    "chat.jsonl": (jsonl([{"messages": CHAT[:2]}]), "no message has the role assist"),
    "chat2.jsonl": (jsonl([{"messages": "hi"}]), "messages should be a list"),
    "chat3.jsonl": (jsonl([{"messages": ["hi"]}]), "needs the fields role and cont"),
    "chat4.jsonl": (jsonl([{"messages": [{"role": "user"}]}]), "content should be a"),
    "list.json": (b'[{"text": "a"}]', "should have one record a line"),
    "empty.parquet": (b"", "empty.parquet is damaged"),
    "cut.parquet": (parquet(RECORDS)[:-9], "cut.parquet is damaged"),
    "other.parquet": (parquet([{"body": "a"}]), "needs a field text.*and has body"),
    "null.parquet": (parquet([{"text": "a"}, {"text": None}]), "row 2: text should"),
    "a.parquet.gz": (b"", "decompress it first"),
    "odd.bin": (b"\1\0\2", "an odd number of bytes"),
    "beyond.bin": (b"\1\0\1\1", "token 257 at index 1, and the tokenizer only those"),
    "empty.bin": (b"", "is empty"),
    "below.npy": (npy(np.array([1, -1])), "token -1 at index 1"),
    "float.npy": (npy(np.array([1.5])), "one row of integers, and holds float64"),
    "matrix.npy": (npy(np.ones((2, 2), int)), "holds int64 of shape"),
    "pickle.npy": (npy(np.array([{}])), "pickle.npy is no .npy file"),
    "cut.npy": (npy(IDS)[:-9], "cut.npy is no .npy file"),
    "not.npy": (b"plain", "not.npy is no .npy file"),
    "empty.npy": (b"", "empty.npy is no .npy file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_with_a_defect_is_one_line_and_leaves_no_cache(
    tokens, token_cache, name
):
    content, message = BROKEN[name]
    before = set(token_cache.iterdir())
    with pytest.raises(InputError, match=message) as raised:
        tokens(name, **{name: content})
    assert name.split(".")[0] in str(raised.value)
    assert "\n" not in str(raised.value)
    assert set(token_cache.iterdir()) == before


def learnt(store):
    ids = np.where(store.loss_mask, store.tokens, ord("_"))
    return "".join("|" if i == 256 else chr(i) for i in ids)


@pytest.mark.parametrize("make", [jsonl, parquet], ids=["jsonl", "parquet"])
def test_the_loss_counts_on_answers_only(tokens, make):
    pairs = [
        {"prompt": "2 + 2 =", "completion": " 4"},
        {"prompt": "a", "completion": "b"},
    ]
    name = f"a.{make.__name__}"
    store = tokens(name, **{name: make(pairs)})
    assert learnt(store) == "|_______ 4|_b|"
    assert BYTES.decode(store.tokens[1:10].tolist()) == "2 + 2 = 4"
    name = f"b.{make.__name__}"
    store = tokens(name, **{name: make([{"messages": CHAT}])})
    text = BYTES.decode(store.tokens.tolist())
    assert text == "system: Be short.\nuser: 2 + 2?\nassistant: 4\n"
    assert learnt(store) == "_" * (len(text) - 3) + " 4\n"


def test_a_folder_has_the_documents_of_its_files_in_order_and_counts_the_rest(
    tokens, tmp_path, capsys
):
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / ".git").mkdir()
    (tmp_path / "d" / "b.txt").write_text("two")
    (tmp_path / "d" / "a.md").write_text("one")
    (tmp_path / "d" / "e" / "c.jsonl").write_text('{"text": "three"}\n')
    (tmp_path / "d" / "picture.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "d" / ".git" / "hidden.txt").write_text("hidden")
    end = END_OF_TEXT
    expected = f"{end}one{end}two{end}three{end}"
    assert BYTES.decode(tokens("d").tokens.tolist()) == expected
    assert "d: 3 read, 1 passed over (.png)" in capsys.readouterr().err
    assert BYTES.decode(tokens("d/a*", "d/**/*.jsonl").tokens.tolist()) == (
        f"{end}one{end}three{end}"
    )


@pytest.mark.parametrize("name", ["nowhere", "*.txt", "d"])
def test_a_name_for_nothing_is_one_line(tmp_path, name):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "picture.png").write_bytes(b"\x89PNG\0")
    with pytest.raises(InputError, match=r"is not one|has no file that ends in"):
        find_sources([str(tmp_path / name)])


def test_standard_input_is_a_text(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    text = load_text(["-"], BYTES)
    assert BYTES.decode(text.tokens.tokens.tolist()) == "from a pipe"
    # A resumed run does not read it again.
    again = load_text(["-"], BYTES, keys=[text.tokens.folder.name])
    assert again.sha256 == text.sha256


def test_a_pipe_is_a_text(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("piped",))
    writer.start()
    text = load_text([str(tmp_path / "pipe")], BYTES)
    writer.join()
    assert BYTES.decode(text.tokens.tokens.tolist()) == "piped"


def test_a_text_for_validation_is_read_beside(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name * 5)
    text = load_text([str(tmp_path / "a")], BYTES, [str(tmp_path / "b")])
    assert BYTES.decode(text.tokens.tokens.tolist()) == "aaaaa"
    assert BYTES.decode(text.validation.tokens.tolist()) == "bbbbb"
    alone = load_text([str(tmp_path / "a")], BYTES)
    assert text.sha256 != alone.sha256
