"""Text to tokens to batches; a batch depends on nothing but the seed and the step."""

import pydoc_data.topics
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.data.batch import Tokens
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import load_tokenizer

PYTHON_DOCS = "python-docs"  # the default --data: no file, no download
VALIDATION_SHARE = 0.1  # of the tokens, at the end of the text


class Split(NamedTuple):
    train: Tokens  # (N,)
    validation: Tokens  # (M,)


def load_split(data: str, seq_len: int) -> Split:
    """Tokens of the text `data` for training and validation.

    Raises:
      InputError: the text is not readable, or too short for a window of either.
    """
    tokens = np.array(load_tokenizer().encode(read_text(data)), np.int32)
    num_train = len(tokens) - int(len(tokens) * VALIDATION_SHARE)
    split = Split(tokens[:num_train], tokens[num_train:])
    if len(split.validation) <= seq_len:
        raise InputError(
            f"{data} has {len(tokens)} tokens, and the last {VALIDATION_SHARE:.0%} of "
            f"them, for validation, must be more than --seq-len {seq_len}; give a "
            "longer text or a smaller --seq-len."
        )
    return split


def read_text(data: str) -> str:
    """The UTF-8 text of the file `data`, or CPython's documentation for PYTHON_DOCS."""
    if data == PYTHON_DOCS:
        return python_docs()
    path = Path(data)
    if not path.is_file():
        raise InputError(f"--data needs a text file, and {data} is not one.")
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as e:
        raise InputError(
            f"{data} is not UTF-8: byte {e.object[e.start]:#04x} at offset {e.start}; "
            "convert it, for example with iconv -t UTF-8."
        ) from None
    if not text.strip():
        raise InputError(f"{data} is empty; give a file with text.")
    return text


def python_docs() -> str:
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name] for name in sorted(topics))
    # GPT-2's tokenizer makes a token of each space of an indentation.
    paragraphs = map(textwrap.dedent, text.split("\n\n"))
    # Topics repeat one another ("while" is in "compound" too). Each paragraph is kept
    # once, so that the model was not trained on most of the validation text.
    return "\n\n".join(dict.fromkeys(paragraphs))


def train_batch(
    tokens: Tokens, batch_size: int, seq_len: int, seed: int, step: int
) -> Tokens:
    """Windows (B, T + 1) at random places; the last token of each is only a target."""
    rng = np.random.default_rng((seed, step))
    starts = rng.integers(0, len(tokens) - seq_len, batch_size)
    return windows(tokens, starts, seq_len)  # (B, T + 1)


def validation_batches(
    tokens: Tokens, batch_size: int, seq_len: int, max_batches: int
) -> list[Tokens]:
    """At most `max_batches` batches (B, T + 1) of windows spread evenly over the text.

    The targets of no two windows overlap, unless the text has too few for one batch.
    """
    last_start = len(tokens) - seq_len - 1
    num_batches = min(max_batches, max(1, (last_start // seq_len + 1) // batch_size))
    starts = np.linspace(0, last_start, num_batches * batch_size).astype(int)
    return [windows(tokens, part, seq_len) for part in np.split(starts, num_batches)]


def windows(tokens: Tokens, starts: NDArray[np.int_], seq_len: int) -> Tokens:
    """The window of T + 1 tokens from each start: starts (B,) to (B, T + 1)."""
    found: Tokens = tokens[starts[:, None] + np.arange(seq_len + 1)]  # (B, T + 1)
    return found


def unigram_entropy(tokens: Tokens) -> float:
    """The loss of guessing each token by its frequency alone, in nats per token.

    H = -sum_v p_v ln p_v; a model that has learnt more than frequencies is below it.
    """
    counts = np.unique(tokens, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
