"""Windows over a document: each token but the first is predicted once."""

import numpy as np
import pytest

from gpt2_flax.evaluation.windows import windows_of


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 9, 40, 43])
@pytest.mark.parametrize(
    ("length", "stride"), [(8, 8), (8, 3), (8, 1), (2, 1), (64, 9)]
)
def test_every_token_with_a_context_is_predicted_once(size, length, stride):
    tokens = np.arange(100, 100 + size)
    predicted = []
    for window in windows_of(tokens, length, stride):
        assert len(window.tokens) == len(window.is_target) <= length
        assert not window.is_target[0]
        predicted += window.tokens[window.is_target].tolist()
    expected = tokens[1:].tolist()
    if stride == length:  # nor does the first of a later window have a context
        expected = [token for i, token in enumerate(expected, 1) if i % length]
    assert predicted == expected


def test_a_token_has_the_context_of_the_first_window_that_holds_it():
    windows = list(windows_of(np.arange(20), 8, 3))
    assert [window.tokens[0] for window in windows] == [0, 3, 6, 9, 12]
    assert [window.num_targets for window in windows] == [7, 3, 3, 3, 3]


def test_only_tokens_that_count_are_predicted(rng):
    tokens, counts = np.arange(50), rng.random(50) < 0.3
    predicted = [
        window.tokens[window.is_target] for window in windows_of(tokens, 9, 4, counts)
    ]
    assert np.concatenate(predicted).tolist() == tokens[1:][counts[1:]].tolist()
