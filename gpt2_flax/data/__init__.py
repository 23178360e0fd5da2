"""Texts to tokens to batches; a batch depends on nothing but the seed and the step."""

from gpt2_flax.data.batch import Batch, Tokens
from gpt2_flax.data.feed import (
    BATCHES,
    Feed,
    make_feed,
    train_batch,
    validation_batches,
)
from gpt2_flax.data.reading.python_docs import python_docs
from gpt2_flax.data.sources import PYTHON_DOCS
from gpt2_flax.data.statistics import unigram_entropy
from gpt2_flax.data.text import Split, Text, characters_of, load_split, load_text

__all__ = [
    "BATCHES",
    "PYTHON_DOCS",
    "Batch",
    "Feed",
    "Split",
    "Text",
    "Tokens",
    "characters_of",
    "load_split",
    "load_text",
    "make_feed",
    "python_docs",
    "train_batch",
    "unigram_entropy",
    "validation_batches",
]
