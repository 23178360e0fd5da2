"""A batch of training: tokens, and where needed a mask of the loss and documents."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]


class Batch(NamedTuple):
    """B rows of T + 1 tokens; the last token of a row is only a target.

    Without the mask every target counts, and without segments a row is one document.
    """

    tokens: Tokens  # (B, T + 1)
    loss_mask: NDArray[np.bool_] | None = None  # (B, T): whether target t + 1 counts
    # (B, T + 1), 0 and up: tokens attend only to earlier ones of the same number, and
    # positions begin at 0 in each.
    segments: NDArray[np.int32] | None = None
