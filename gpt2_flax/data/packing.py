"""Samples of whole documents, several in a row, none of which attends to another.

A document longer than a row is cut: rows full of it, and a rest. Rests and short
documents share rows. Every row is of units that begin with the token that ends a text:
it is the last target of the unit before.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from gpt2_flax.data.batch import Batch
from gpt2_flax.data.order import Ints, epoch_starts
from gpt2_flax.data.stream import Stream


class Units(NamedTuple):
    """Stretches of a stream, (U,) each."""

    starts: Ints  # the first input
    sizes: Ints  # inputs, T at most
    leads: Ints  # 1 if the token that ends a text is put before the first input


class PackedSamples:
    """Rows of T + 1 tokens. Every token after a document's first is a target once."""

    def __init__(self, stream: Stream, seq_len: int) -> None:
        if stream.end_of_text is None:
            raise ValueError("documents need a token that ends them")
        self.stream = stream
        self.seq_len = seq_len
        self._end = stream.end_of_text
        self._units = cut(stream, seq_len)
        rows = pack(self._units.sizes + self._units.leads, seq_len)
        self._order = np.argsort(rows, kind="stable")  # units by row, (U,)
        self.num_rows = int(rows.max(initial=-1)) + 1
        self._row_starts = np.searchsorted(
            rows[self._order], np.arange(self.num_rows + 1)
        )

    def in_epochs(self, g: Ints, seed: int) -> Batch:
        """The samples g (B,) of a run that sees every row once in an epoch."""
        return self.rows(epoch_starts(g, self.num_rows, 1, seed))

    def spread(self, batch_size: int, max_batches: int) -> Sequence[Batch]:
        """At most `max_batches` batches of rows spread evenly over all of them."""
        size = min(batch_size, self.num_rows)
        num_batches = min(max_batches, self.num_rows // size)
        rows = np.linspace(0, self.num_rows - 1, num_batches * size).astype(np.int64)
        return [self.rows(part) for part in np.split(rows, num_batches)]

    def rows(self, indices: Iterable[int]) -> Batch:
        filled = [self.row(index) for index in indices]
        tokens, masks, segments = zip(*filled)
        return Batch(np.stack(tokens), np.stack(masks), np.stack(segments))

    def row(self, index: int) -> Batch:
        """One row: (T + 1,), (T,) and (T + 1,)."""
        tokens = np.full(self.seq_len + 1, self._end, np.int32)
        mask = np.zeros(self.seq_len + 1, bool)  # of the same index's token as a target
        segments = np.zeros(self.seq_len + 1, np.int32)
        stream, at, number = self.stream, 0, 0
        units = self._order[self._row_starts[index] : self._row_starts[index + 1]]
        for number, unit in enumerate(units, 1):
            start, size, lead = (int(part[unit]) for part in self._units)
            segments[at:] = number - 1
            at += lead
            after = start + size  # of the last target
            tokens[at : at + size] = stream.tokens[start:after]
            targets = slice(at + 1, at + size + 1)
            if stream.loss_mask is None:
                mask[targets] = True
            else:
                mask[targets] = stream.loss_mask[start + 1 : after + 1]
            at += size
            last = int(stream.tokens[after])
            if at == self.seq_len:
                tokens[at] = last
            elif last != self._end:  # the stream stops inside a document
                mask[at] = False
        segments[at:] = number  # the last target, and padding
        return Batch(tokens, mask[1:], segments)


def cut(stream: Stream, seq_len: int) -> Units:
    """The documents of a stream, in stretches of at most `seq_len` inputs."""
    last = len(stream.tokens) - 1  # only a target
    starts = stream.starts[stream.starts < last]
    sizes = np.diff(np.append(starts, last))  # of documents
    num_units = -(-sizes // seq_len)
    document = np.repeat(np.arange(len(starts)), num_units)  # of each unit
    first_units = np.cumsum(num_units) - num_units
    before = (np.arange(len(document)) - first_units[document]) * seq_len
    unit_starts = starts[document] + before
    unit_sizes = np.minimum(sizes[document] - before, seq_len)
    is_end = np.asarray(stream.tokens[unit_starts]) == stream.end_of_text
    leads = ~is_end & (unit_sizes < seq_len)
    return Units(unit_starts, unit_sizes, leads.astype(np.int64))


def pack(sizes: Ints, capacity: int) -> Ints:
    """A row for each of the sizes (U,), so that no row has more than `capacity`.

    Best fit, the largest first: at most 11/9 of the fewest rows possible, plus 4
    (Johnson, 1974).
    """
    rows = np.empty(len(sizes), np.int64)
    open_rows: list[list[int]] = [[] for _ in range(capacity + 1)]  # by room
    rooms = 0  # bit r: some row has room r
    num_rows = 0
    for unit in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[unit])
        if fitting := rooms >> size:
            room = size + (fitting & -fitting).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms &= ~(1 << room)
        else:
            room, row, num_rows = capacity, num_rows, num_rows + 1
        rows[unit] = row
        if left := room - size:
            open_rows[left].append(row)
            rooms |= 1 << left
    return rows
