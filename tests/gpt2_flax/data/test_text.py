"""Texts, their split into training and validation, and batches."""

import numpy as np
import pytest

from gpt2_flax.data import (
    PYTHON_DOCS,
    load_split,
    python_docs,
    train_batch,
    unigram_entropy,
    validation_batches,
)
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import load_tokenizer


def test_default_text_is_pythons_documentation_each_paragraph_once():
    text = python_docs()
    assert 'The "with" statement' in text
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 1000
    both = np.concatenate(load_split(PYTHON_DOCS, 16))
    assert load_tokenizer().decode(both.tolist()) == text


def test_split_is_the_whole_text_with_the_end_for_validation(tmp_path):
    path = tmp_path / "text"
    text = "Größe matters, says the naïve 東京 guide.\n" * 40
    path.write_bytes(text.encode())
    split = load_split(str(path), 16)
    both = np.concatenate(split)
    assert load_tokenizer().decode(both.tolist()) == text
    assert len(split.validation) == len(both) // 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not one"),
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"good \xff bad", "byte 0xff at offset 5"),
        (b"a word or two", "has 4 tokens"),
    ],
)
def test_bad_text_is_refused(tmp_path, content, message):
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_split(str(path), 16)


def test_validation_text_must_hold_one_sequence_and_a_target(tmp_path):
    path = tmp_path / "text"
    path.write_text(" word" * 170)  # a token each: 17 for validation
    assert len(load_split(str(path), 16).validation) == 17
    with pytest.raises(InputError, match="more than --seq-len 17"):
        load_split(str(path), 17)


def test_batch_depends_on_seed_and_step_only():
    tokens = np.arange(1000, dtype=np.int32)
    first = train_batch(tokens, 4, 8, seed=1, step=5)
    np.testing.assert_array_equal(first, train_batch(tokens, 4, 8, seed=1, step=5))
    for seed, step in [(1, 6), (2, 5), (5, 1)]:
        assert np.any(first != train_batch(tokens, 4, 8, seed=seed, step=step))


def test_batches_are_windows_from_the_whole_text():
    tokens = np.arange(20, dtype=np.int32)
    batches = [train_batch(tokens, 16, 8, seed=0, step=step) for step in range(20)]
    windows = np.concatenate(batches)
    assert np.all(np.diff(windows) == 1)
    assert set(windows[:, 0]) == set(range(12))  # 12 windows of 9 tokens in 20


@pytest.mark.parametrize("num_tokens", [9, 10, 100, 1003])
def test_validation_windows_reach_from_the_first_token_to_the_last(num_tokens):
    tokens = np.arange(num_tokens, dtype=np.int32)
    batches = validation_batches(tokens, batch_size=4, seq_len=8, max_batches=5)
    windows = np.concatenate(batches)
    assert all(batch.shape == (4, 9) for batch in batches)
    assert len(batches) <= 5
    assert windows[0, 0] == 0
    assert windows[-1, -1] == num_tokens - 1 or len(windows) == 1


def test_validation_predicts_no_token_twice_where_the_text_is_long_enough():
    batches = validation_batches(np.arange(300, dtype=np.int32), 4, 8, 100)
    targets = np.concatenate(batches)[:, 1:].ravel()
    assert len(set(targets)) == len(targets) == 9 * 4 * 8


def test_unigram_entropy_of_known_distributions():
    assert unigram_entropy(np.arange(50)) == pytest.approx(np.log(50))
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert unigram_entropy(np.array([7, 7, 9, 7])) == pytest.approx(expected)
