"""Rows of whole documents: which tokens they hold, and what of them is learnt."""

from itertools import pairwise

import numpy as np
import pytest

from gpt2_flax.data.packing import PackedSamples, pack
from gpt2_flax.data.stream import Stream

END = 0
SEQ_LEN = 12


def stream_of(lengths, seed=0, *, is_cut_off=False, mask=False):
    """Documents of tokens that differ, each after an END, and one more END or none."""
    tokens, starts = [], []
    for length in lengths:
        starts.append(len(tokens))
        tokens += [END, *range(len(tokens) + 1, len(tokens) + 1 + length)]
    if not is_cut_off:
        tokens.append(END)
    counts = np.random.default_rng(seed).random(len(tokens)) < 0.5 if mask else None
    return Stream(np.array(tokens, np.uint16), counts, np.array(starts), END)


LENGTHS = np.random.default_rng(1).integers(1, 60, 80)


@pytest.fixture(params=["plain", "mask"])
def stream(request):
    return stream_of(LENGTHS, mask=request.param == "mask")


def targets(batch):
    """Pairs (token, next token) that count, in any order."""
    inputs, after = batch.tokens[:, :-1], batch.tokens[:, 1:]
    pairs = np.stack([inputs, after], -1)[batch.loss_mask]
    return sorted(map(tuple, pairs.tolist()))


def test_every_token_is_learnt_once_after_the_one_before_it(stream):
    samples = PackedSamples(stream, SEQ_LEN)
    rows = samples.rows(range(samples.num_rows))
    tokens = stream.tokens.astype(int)
    pairs = np.stack([tokens[:-1], tokens[1:]], -1)
    if stream.loss_mask is not None:
        pairs = pairs[stream.loss_mask[1:]]
    # A rest that follows a full row is learnt without its first token, whose row it was
    # the last target of: that pair is there too.
    assert targets(rows) == sorted(map(tuple, pairs.tolist()))


def test_a_segment_holds_tokens_of_one_document_in_their_order(stream):
    document = np.searchsorted(stream.starts, np.arange(len(stream.tokens)), "right")
    samples = PackedSamples(stream, SEQ_LEN)
    rows = samples.rows(range(samples.num_rows))
    assert rows.tokens.shape == rows.segments.shape == (samples.num_rows, SEQ_LEN + 1)
    for tokens, segments, mask in zip(rows.tokens, rows.segments, rows.loss_mask):
        assert set(np.diff(segments)) <= {0, 1}
        for number in set(segments[:-1][mask]):
            # END comes only first; other tokens are their own index in the stream.
            first, *others = tokens[:-1][segments[:-1] == number]
            others = [first, *others] if first != END else others
            assert END not in others
            assert np.all(np.diff(others) == 1)
            assert len(set(document[others])) <= 1


def test_rows_are_nearly_full():
    samples = PackedSamples(stream_of(LENGTHS), SEQ_LEN)
    least = -(-int(np.sum(LENGTHS + 1)) // SEQ_LEN)
    assert least <= samples.num_rows <= 1.25 * least


def test_documents_that_fit_are_never_cut():
    stream = stream_of(np.random.default_rng(2).integers(1, SEQ_LEN, 50))
    samples = PackedSamples(stream, SEQ_LEN)
    rows = samples.rows(range(samples.num_rows))
    begun = sum(
        int(np.sum((t[:-1] == END) & m)) for t, m in zip(rows.tokens, rows.loss_mask)
    )
    assert begun == 50


def test_an_epoch_shows_every_row_once_in_an_order_of_the_seed():
    samples = PackedSamples(stream_of(LENGTHS), SEQ_LEN)
    every = np.arange(samples.num_rows)
    first, second = (samples.in_epochs(every, seed).tokens for seed in (1, 2))
    plain = samples.rows(every).tokens
    assert sorted(map(tuple, first)) == sorted(map(tuple, plain))
    assert np.any(first != second)


def test_a_document_that_the_stream_cuts_off_is_learnt_up_to_there():
    stream = stream_of([3, 4], is_cut_off=True)
    rows = PackedSamples(stream, SEQ_LEN).rows([0])
    text = stream.tokens.astype(int).tolist()
    # Not its last token, after which the row has an END that the stream has not.
    assert targets(rows) == sorted(pairwise(text[:-1]))


@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_packing_holds_each_size_within_the_capacity(capacity):
    sizes = np.random.default_rng(3).integers(1, capacity + 1, 500)
    rows = pack(sizes, capacity)
    filled = np.bincount(rows, weights=sizes)
    assert filled.max() <= capacity
    assert np.all(filled > 0)
    assert len(filled) <= 11 / 9 * -(-sizes.sum() // capacity) + 4 + 0.25 * len(sizes)


def test_validation_rows_are_spread_over_all():
    samples = PackedSamples(stream_of(LENGTHS), SEQ_LEN)
    batches = samples.spread(batch_size=4, max_batches=5)
    assert [batch.tokens.shape for batch in batches] == [(4, SEQ_LEN + 1)] * 5
    few = PackedSamples(stream_of([3, 4]), SEQ_LEN).spread(batch_size=8, max_batches=5)
    assert [batch.tokens.shape for batch in few] == [(1, SEQ_LEN + 1)]
