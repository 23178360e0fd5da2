"""Texts to tokens to batches; a batch depends on nothing but the seed and the step."""

from gpt2_flax.data.batch import Batch, Tokens
from gpt2_flax.data.text import (
    PYTHON_DOCS,
    Split,
    load_split,
    python_docs,
    read_text,
    train_batch,
    unigram_entropy,
    validation_batches,
    windows,
)

__all__ = [
    "PYTHON_DOCS",
    "Batch",
    "Split",
    "Tokens",
    "load_split",
    "python_docs",
    "read_text",
    "train_batch",
    "unigram_entropy",
    "validation_batches",
    "windows",
]
