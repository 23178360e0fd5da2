"""The batches of a run: each depends on nothing but the seed and the step."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpt2_flax.data.batch import Batch, Tokens
from gpt2_flax.data.packing import PackedSamples
from gpt2_flax.data.stream import Ids, Stream, StreamSamples
from gpt2_flax.data.text import Text, split_streams

DOCUMENTS, STREAM, WINDOWS = BATCHES = ("documents", "stream", "windows")


class Feed(NamedTuple):
    """Where the batches of a run come from."""

    train: StreamSamples | PackedSamples
    validation: StreamSamples | PackedSamples
    at_random: bool  # windows at random places instead of epochs
    sha256: str = ""  # of the text, by which a resumed run knows it
    keys: tuple[str, ...] = ()  # by which the cache knows it
    entropy: float = 0.0  # see unigram_entropy

    def batch(self, batch_size: int, seed: int, step: int) -> Batch:
        """The batch of `step`, which is 0 for the first."""
        if self.at_random and isinstance(self.train, StreamSamples):
            return self.train.at_random(batch_size, seed, step)
        return self.train.in_epochs(step * batch_size + np.arange(batch_size), seed)

    def validation_batches(self, batch_size: int, max_batches: int) -> Sequence[Batch]:
        return self.validation.spread(batch_size, max_batches)


def make_feed(text: Text, batches: str, seq_len: int) -> Feed:
    """The feed of a text, in one of the ways of BATCHES.

    A text of one document, without a mask, is a stream in any case.

    Raises:
      InputError: the text is too short.
    """
    stores = [store for store in (text.tokens, text.validation) if store is not None]
    has_documents = any(s.num_documents > 1 or len(s.starts) > 1 for s in stores)
    packs = batches == DOCUMENTS and has_documents
    streams = split_streams(text, seq_len, by_document=packs)
    train, validation = (samples_of(stream, seq_len, packs) for stream in streams)
    return Feed(
        train,
        validation,
        batches == WINDOWS,
        text.sha256,
        tuple(store.folder.name for store in stores),
        text.tokens.entropy,
    )


def samples_of(
    stream: Stream, seq_len: int, packs: bool
) -> StreamSamples | PackedSamples:
    return (PackedSamples if packs else StreamSamples)(stream, seq_len)


def train_batch(
    tokens: Ids, batch_size: int, seq_len: int, seed: int, step: int
) -> Tokens:
    """Windows (B, T + 1) at random places; the last token of each is only a target."""
    samples = StreamSamples(Stream(tokens), seq_len)
    return samples.at_random(batch_size, seed, step).tokens


def validation_batches(
    tokens: Ids, batch_size: int, seq_len: int, max_batches: int
) -> list[Tokens]:
    """The tokens of `StreamSamples.spread`, (B, T + 1) each."""
    samples = StreamSamples(Stream(tokens), seq_len)
    return [batch.tokens for batch in samples.spread(batch_size, max_batches)]
