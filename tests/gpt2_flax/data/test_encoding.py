"""Pieces of texts: their tokens are those of the whole, whatever the sizes."""

import random

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from gpt2_flax.data import encoding
from gpt2_flax.data.encoding import encode_pieces
from gpt2_flax.data.reading import text as reading
from gpt2_flax.data.reading.pieces import Piece
from gpt2_flax.data.reading.text import decoded, pieces_of
from gpt2_flax.tokenizers import END_OF_TEXT, load_tokenizer
from gpt2_flax.tokenizers.gpt2_bpe import gpt2_encoding

END = 50256
# What the splits of GPT-2's pattern and of our pieces depend on.
PARTS = (
    *("a", "word", "1", "!", "...", "'s", "'", "é", "東", "<", END_OF_TEXT),
    *(" ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u2003", "\x1c", "\x85"),
)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(reading, "PIECE_CHARS", 40)
    monkeypatch.setattr(encoding, "PIECE_CHARS", 100)


def random_texts(count):
    rng = random.Random(0)
    for _ in range(count):
        parts = [rng.choice(PARTS) for _ in range(rng.randrange(1, 300))]
        if not (text := "".join(parts)).isspace():
            yield text, rng.randrange(1, 50)


def in_blocks(text, size):
    data = text.encode()
    return [data[i : i + size] for i in range(0, len(data), size)]


def joined(pieces, tokenizer):
    encoded = list(encode_pieces(pieces, tokenizer))
    ids = np.concatenate([one.ids for one in encoded]).tolist()
    return ids, sum(one.num_documents for one in encoded)


def test_pieces_have_the_tokens_of_the_whole_text(small_pieces):
    num_pieces = 0
    for text, size in random_texts(300):
        pieces = list(
            pieces_of(decoded("x", in_blocks(text, size)), "before whitespace")
        )
        num_pieces += len(pieces)
        documents = filter(None, text.replace("\r\n", "\n").split(END_OF_TEXT))
        expected = [[END, *gpt2_encoding().encode_ordinary(one)] for one in documents]
        ids, num_documents = joined(pieces, load_tokenizer())
        assert ids == [i for one in expected for i in one]
        assert num_documents == len(expected)
    assert num_pieces > 1000


@pytest.mark.parametrize("cuts", ["anywhere", "nowhere"])
def test_pieces_never_cut_the_end_of_a_text(small_pieces, cuts):
    for text, size in random_texts(100):
        pieces = list(pieces_of(decoded("x", in_blocks(text, size)), cuts))
        whole = text.replace("\r\n", "\n")
        assert "".join(piece.content for piece in pieces) == whole
        counts = [piece.content.count(END_OF_TEXT) for piece in pieces]
        assert sum(counts) == whole.count(END_OF_TEXT)
        if cuts == "anywhere":
            assert max(len(piece.content) for piece in pieces) <= 40 + 50
        else:
            starts = [piece.content.startswith(END_OF_TEXT) for piece in pieces[1:]]
            assert all(starts)


def test_a_tokenizer_that_may_look_across_words_gets_whole_texts(tmp_path):
    letters = {chr(i): i for i in range(33, 127)}
    library = Tokenizer(models.BPE(letters, []))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).cuts == "nowhere"


def test_the_loss_counts_where_the_pieces_say():
    pieces = [
        Piece("ask", False),
        Piece("tell", True, ends=True),
        Piece("ask", False),
        Piece("no", False, ends=True),
        Piece("end", True, ends=True),
    ]
    (encoded,) = encode_pieces(pieces, load_tokenizer("bytes"))
    learnt = np.where(encoded.counts, encoded.ids, ord("_"))
    # 256, the end of each text, counts as the end of a document whose last piece does.
    shown = "".join("|" if i == 256 else chr(i) for i in learnt)
    assert shown == "|___tell|______end"
    assert encoded.num_documents == 3


def test_tokens_of_files_keep_the_ends_that_they_have():
    ids = [np.array(part, np.uint32) for part in ([1, 2, END], [3, END], [4])]
    pieces = [Piece(ids[0], ends=True), Piece(ids[1], ends=True), Piece(ids[2])]
    for size in (1, 1000):
        encoding_size, encoding.PIECE_CHARS = encoding.PIECE_CHARS, size
        try:
            found, num_documents = joined(pieces, load_tokenizer())
        finally:
            encoding.PIECE_CHARS = encoding_size
        assert found == [END, 1, 2, END, 3, END, 4]
        assert num_documents == 3


@pytest.mark.parametrize("character", [" ", "a", "\n"])
def test_a_million_characters_of_one_kind_are_tokenized(character):
    text = f"x{character * 10**6}."
    ids, _ = joined(list(pieces_of([text], "before whitespace")), load_tokenizer())
    assert load_tokenizer().decode(ids[1:]) == text
    # As those of a run that is short enough for tiktoken itself.
    short = gpt2_encoding().encode_ordinary(f"x{character * 1000}.")
    assert ids[1:3] == short[:2]
    assert ids[-2:] == short[-2:]
