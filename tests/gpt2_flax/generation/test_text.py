"""Text of tokens that come one by one: whole characters, and stops that never show."""

import numpy as np
import pytest

from gpt2_flax.generation.text import TextStream
from gpt2_flax.tokenizers import load_tokenizer


@pytest.fixture
def tokenizer():
    return load_tokenizer("bytes")


def grown(tokenizer, tokens, stops=()):
    """The pieces, and the text that they make."""
    stream = TextStream(tokenizer, stops)
    pieces = [stream.add(token) for token in tokens] + [stream.end()]
    assert "".join(pieces) == stream.text
    return pieces, stream.text


def test_a_character_comes_with_its_last_byte(tokenizer):
    pieces, _ = grown(tokenizer, "a\u20ac\U0001f308".encode())
    assert pieces == ["a", "", "", "\u20ac", "", "", "", "\U0001f308", ""]


def test_bytes_that_are_no_text_are_replaced_and_hold_nothing_back_for_long(tokenizer):
    pieces, text = grown(tokenizer, b"a\xff\xe2\x82b\xc3")
    assert text == "a\ufffd\ufffdb\ufffd"
    assert pieces == ["a", "", "", "", "\ufffd\ufffdb", "", "\ufffd"]


def test_the_beginning_of_a_stop_is_held_back_until_it_is_none(tokenizer):
    pieces, _ = grown(tokenizer, b"ababac!", ["abac?"])
    assert pieces == ["", "", "", "ab", "", "", "abac!", ""]


def test_random_texts_end_before_the_first_stop(tokenizer, rng):
    for _ in range(200):
        text = bytes(rng.choice(list(b"ab"), 12)).decode()
        stops = [
            bytes(rng.choice(list(b"ab"), rng.integers(1, 5))).decode()
            for _ in range(2)
        ]
        # Where the text that has come first holds a stop, its first one.
        ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
        come = text[: min(ends, default=len(text))]
        found = [come.find(stop) for stop in stops if stop in come]
        expected = come[: min(found)] if found else text
        assert grown(tokenizer, text.encode(), stops)[1] == expected


def test_the_end_of_text_ends_a_text_and_is_not_part_of_it(tokenizer):
    tokens = [*b"ab", tokenizer.end_of_text, *b"cd"]
    assert grown(tokenizer, tokens) == (["a", "b", "", "", "", ""], "ab")


def test_gpt2s_tokens_make_the_text_they_came_from():
    tokenizer = load_tokenizer()
    text = "Ends in \U0001f9d1\u200d\U0001f680, na\u00efvely \u4f60\u597d."
    tokens = tokenizer.encode(text)
    assert len(tokens) < len(text.encode())
    assert grown(tokenizer, np.array(tokens).tolist())[1] == text
