"""Loss, perplexity and bits per byte of texts, each document and all together."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gpt2_flax.errors import InputError
from gpt2_flax.evaluation.losses import window_losses
from gpt2_flax.evaluation.windows import Ids, Mask, Window, windows_of
from gpt2_flax.loading import GPT2


class Document(NamedTuple):
    name: str
    tokens: Ids  # (N,)
    counts: Mask | None = None  # (N,), which are predicted; None: all but the first


@dataclass(frozen=True)
class Score:
    """How well a text was predicted, but for its first token, before which is none."""

    name: str
    num_tokens: int  # that were predicted
    num_bytes: int  # of UTF-8, of these tokens
    nats: float  # the sum of their losses

    @property
    def loss(self) -> float:
        """In nats per token."""
        return self.nats / self.num_tokens if self.num_tokens else math.nan

    @property
    def perplexity(self) -> float:
        """exp(loss)"""
        return float(np.exp(np.float64(self.loss)))

    @property
    def bits_per_byte(self) -> float:
        """Unlike the loss, it compares models with other tokenizers."""
        bits = self.nats / math.log(2)
        return bits / self.num_bytes if self.num_bytes else math.nan


@dataclass(frozen=True)
class Evaluation(Score):
    """The score of all documents together, and of each."""

    documents: tuple[Score, ...] = ()


def evaluate(
    model: GPT2, texts: str | Sequence[str], *, stride: int | None = None
) -> Evaluation:
    """How well the model predicts a text, or each of several.

    A text longer than the model's positions is seen through windows of that many
    tokens, each `stride` after the one before, and each token is predicted in the first
    window that holds it (see `windows.py`). A shorter stride gives more context, a
    lower loss, and takes longer. Without one, it is half of the positions.

    Raises:
      InputError: no text has two tokens, or the stride is not possible.
    """
    if isinstance(texts, str):
        texts = [texts]
    encode = model.tokenizer.encode
    documents = (
        Document(f"text {i + 1}", np.array(encode(text), np.int32))
        for i, text in enumerate(texts)
    )
    return evaluate_documents(model, documents, stride)


def evaluate_documents(
    model: GPT2, documents: Iterable[Document], stride: int | None = None
) -> Evaluation:
    length = model.config.num_positions
    stride = max(length // 2, 1) if stride is None else stride
    if not 1 <= stride <= length:
        raise InputError(
            f"--stride must be from 1 to the model's {length} positions, got {stride}."
        )
    scores: list[Score] = []  # still without their losses
    nats: defaultdict[int, float] = defaultdict(float)

    def windows() -> Iterator[tuple[int, Window]]:
        for document in documents:
            parts = list(windows_of(document.tokens, length, stride, document.counts))
            scores.append(unpredicted(model, document.name, parts))
            for window in parts:
                yield len(scores) - 1, window

    for i, loss in window_losses(model, windows()):
        nats[i] += loss
    found = [
        replace(score, nats=nats[i])
        for i, score in enumerate(scores)
        if score.num_tokens
    ]
    if not found:
        raise InputError("an evaluation needs a text of at least two tokens, got none.")
    return total(found)


def unpredicted(model: GPT2, name: str, windows: list[Window]) -> Score:
    targets = [token for part in windows for token in part.tokens[part.is_target]]
    text = model.tokenizer.decode([int(token) for token in targets])
    return Score(name, len(targets), len(text.encode()), 0.0)


def total(documents: Sequence[Score]) -> Evaluation:
    def sum_of(name: str) -> int:
        return sum(getattr(score, name) for score in documents)

    return Evaluation(
        "all documents",
        sum_of("num_tokens"),
        sum_of("num_bytes"),
        math.fsum(score.nats for score in documents),
        tuple(documents),
    )
