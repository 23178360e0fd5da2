"""A document as windows that a model can see, so that each token is predicted once.

Windows overlap: one begins `stride` tokens after the one before, and only tokens that
the one before did not hold are predicted in it. This is the recipe in transformers'
documentation, "Perplexity of fixed-length models".
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer]
Mask = NDArray[np.bool_]


class Window(NamedTuple):
    tokens: Ids  # (n,), at most as many as the model has positions
    is_target: Mask  # (n,): which are predicted; the first is not

    @property
    def num_targets(self) -> int:
        return int(self.is_target.sum())


def windows_of(
    tokens: Ids, length: int, stride: int, counts: Mask | None = None
) -> Iterator[Window]:
    """The windows of at most `length` tokens; the first token of all has no context.

    With `counts` (N,), only tokens for which it is true are predicted.
    """
    predicted = 1
    for start in range(0, len(tokens), stride):
        end = min(start + length, len(tokens))
        is_target = np.arange(start, end) >= predicted
        # With stride = length, the first token of a window has no context either.
        is_target[0] = False
        if counts is not None:
            is_target &= counts[start:end]
        if is_target.any():
            yield Window(tokens[start:end], is_target)
        predicted = end
        if end == len(tokens):
            return
