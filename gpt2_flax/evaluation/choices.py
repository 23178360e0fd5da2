"""Multiple choice by likelihood, in HellaSwag's format: which ending does a text have?

A line of the file is a JSON object with a context `ctx`, some `endings`, and the number
of the right one, `label`. The model chooses the ending that it finds likeliest after
the context and a space, as llm.c and lm-evaluation-harness do.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpt2_flax.errors import InputError
from gpt2_flax.evaluation.losses import window_losses
from gpt2_flax.evaluation.windows import Window
from gpt2_flax.loading import GPT2


class Question(NamedTuple):
    place: str  # file and line, for messages
    context: str
    endings: list[str]
    label: int  # of the right ending, from 0


@dataclass(frozen=True)
class ChoiceScores:
    """Shares of right choices, by what the likelihoods are compared.

    `by_sum` compares the sums of log likelihoods (lm-evaluation-harness's acc),
    `by_token` their means over tokens (llm.c's acc_norm), and `by_byte` their means
    over bytes (the harness's acc_norm).
    """

    num_questions: int
    by_sum: float
    by_token: float
    by_byte: float


def answer(model: GPT2, questions: Sequence[Question]) -> ChoiceScores:
    """Lets the model choose an ending for each question."""

    def windows() -> Iterator[tuple[tuple[int, int], Window]]:
        for i, question in enumerate(questions):
            for j, window in enumerate(ending_windows(model, question)):
                num_tokens[i, j] = window.num_targets
                yield (i, j), window

    num_tokens: dict[tuple[int, int], int] = {}
    nats = dict(window_losses(model, windows()))
    right = np.array(
        [
            [
                best(nats, i, [1] * len(question.endings)),
                best(nats, i, [num_tokens[i, j] for j in range(len(question.endings))]),
                best(nats, i, [len(ending.encode()) for ending in question.endings]),
            ]
            for i, question in enumerate(questions)
        ]
    ) == [[question.label] for question in questions]  # (Q, 3)
    return ChoiceScores(len(questions), *right.mean(axis=0).tolist())


def best(nats: dict[tuple[int, int], float], i: int, lengths: Sequence[int]) -> int:
    """The ending of question i that has the lowest loss for its length."""
    return int(np.argmin([nats[i, j] / length for j, length in enumerate(lengths)]))


def ending_windows(model: GPT2, question: Question) -> Iterator[Window]:
    """A window for each ending, whose tokens are the targets.

    A context that is too long loses its beginning.
    """
    encode, length = model.tokenizer.encode, model.config.num_positions
    context = encode(question.context)
    for number, ending in enumerate(question.endings):
        targets = encode(f" {ending}")
        if len(targets) >= length:
            raise InputError(
                f"{question.place}: ending {number} has {len(targets)} tokens, and the "
                f"model sees {length} with at least one of the context; leave this "
                "question out."
            )
        tokens = np.array(context + targets, np.int32)[-length:]
        yield Window(tokens, np.arange(len(tokens)) >= len(tokens) - len(targets))


def read_questions(path: Path) -> list[Question]:
    """The questions of a file.

    Raises:
      InputError: the file is not there, holds no question, or one that is damaged.
    """
    if not path.is_file():
        raise InputError(f"--choices needs a file in HellaSwag's format, got {path}.")
    questions = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                questions.append(parse_question(f"{path}, line {number}", line))
    if not questions:
        raise InputError(f"{path} is empty; give a file with a question in each line.")
    return questions


def parse_question(place: str, line: bytes) -> Question:
    try:
        fields = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as e:
        raise InputError(f"{place} is not JSON: {e}.") from None
    if not isinstance(fields, dict):
        raise InputError(f"{place} should be a JSON object, and is not.")
    context, endings = fields.get("ctx"), texts_of(fields.get("endings"))
    if not isinstance(context, str) or not context.strip():
        raise InputError(f"{place} should have a text as ctx, got {context!r:.80}.")
    if len(endings) < 2:
        raise InputError(
            f"{place} should have a list of two texts or more as endings, got "
            f"{fields.get('endings')!r:.80}."
        )
    return Question(place, context, endings, parse_label(place, fields, len(endings)))


def texts_of(value: Any) -> list[str]:
    """The list that `value` is, if it holds nothing but texts; else an empty one."""
    is_list = isinstance(value, list)
    return value if is_list and all(isinstance(x, str) and x for x in value) else []


def parse_label(place: str, fields: dict[str, Any], num_endings: int) -> int:
    """The label, which some versions of the data have as a text."""
    label = fields.get("label")
    is_number = isinstance(label, int | str) and not isinstance(label, bool)
    if not is_number or not re.fullmatch(r"\d{1,9}", str(label)):
        raise InputError(
            f"{place} should have the number of the right ending as label, got "
            f"{label!r:.80}; a test set without labels cannot be scored."
        )
    if int(str(label)) >= num_endings:
        raise InputError(
            f"{place} has {num_endings} endings, so label must be below, got {label}."
        )
    return int(str(label))
