"""Samples of one stream of tokens, in which documents follow one another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.data.batch import Batch
from gpt2_flax.data.order import Ints, epoch_starts

Ids = NDArray[np.integer]


class Stream(NamedTuple):
    """A part of a token store."""

    tokens: Ids  # (N,)
    loss_mask: NDArray[np.bool_] | None = None  # (N,)
    starts: Ints = np.zeros(1, np.int64)  # (D,), of documents
    end_of_text: int | None = None  # with which documents begin

    def part(self, first: int, last: int) -> "Stream":
        inside = self.starts[(self.starts > first) & (self.starts < last)] - first
        mask = None if self.loss_mask is None else self.loss_mask[first:last]
        starts = np.concatenate([np.zeros(1, np.int64), inside])
        return Stream(self.tokens[first:last], mask, starts, self.end_of_text)


class StreamSamples:
    """Windows of T + 1 tokens; the first ones follow the last ones of the stream."""

    def __init__(self, stream: Stream, seq_len: int) -> None:
        self.stream = stream
        self.seq_len = seq_len

    def in_epochs(self, g: Ints, seed: int) -> Batch:
        """The samples g (B,) of a run that sees every token once in an epoch."""
        total = len(self.stream.tokens)
        return self.at(epoch_starts(g, total, self.seq_len, seed))

    def at_random(self, batch_size: int, seed: int, step: int) -> Batch:
        """Windows at random places."""
        rng = np.random.default_rng((seed, step))
        last = len(self.stream.tokens) - self.seq_len
        return self.at(rng.integers(0, last, batch_size))

    def spread(self, batch_size: int, max_batches: int) -> Sequence[Batch]:
        """At most `max_batches` batches of windows spread evenly over the stream.

        The targets of no two windows overlap, unless it has too few for one batch.
        """
        last_start = len(self.stream.tokens) - self.seq_len - 1
        num_windows = last_start // self.seq_len + 1
        num_batches = min(max_batches, max(1, num_windows // batch_size))
        starts = np.linspace(0, last_start, num_batches * batch_size).astype(np.int64)
        return [self.at(part) for part in np.split(starts, num_batches)]

    def at(self, starts: Ints) -> Batch:
        """The window from each start (B,)."""
        tokens, mask = self.stream.tokens, self.stream.loss_mask
        places = (starts[:, None] + np.arange(self.seq_len + 1)) % len(tokens)
        counts = None if mask is None else np.asarray(mask[places[:, 1:]])
        return Batch(np.asarray(tokens[places], np.int32), counts)
