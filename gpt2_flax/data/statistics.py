"""What a text's tokens say without a model."""

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.data.batch import Tokens


def unigram_entropy(tokens: Tokens) -> float:
    """The loss of guessing each token by its frequency alone, in nats per token.

    A model that has learnt more than frequencies is below it.
    """
    return entropy_of(np.bincount(tokens))


def entropy_of(counts: NDArray[np.int64]) -> float:
    """H = -sum_v p_v ln p_v, from how often each token occurs, (V,)."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
