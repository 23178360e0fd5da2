"""What every stage of a trial has: sizes, an outcome, and what may differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jax_npu.backend_choice import DRIVERS, npu_arithmetic, npu_device

# Relative, of a norm: a sum in another order may move an operand of the next product
# by a unit of bf16, 2^-8 of it. bfp16 of npu2 has two bits less.
MODEL_ERROR = {"bfp16": 0.05, "bfp16_floor": 0.2}
MODEL_ERROR_DEFAULT = 0.01


@dataclass(frozen=True)
class Sizes:
    """Of the GPT-2 whose products are run, and how often things are repeated."""

    tokens: int
    width: int
    vocabulary: int
    timed_calls: int
    training_steps: int
    small_calls: int


# 4 x 64 tokens of GPT-2 124M, its vocabulary padded: the step of llm.c that Rösti and
# Franz measure (arXiv 2504.03083).
FULL = Sizes(256, 768, 50304, 7, 20, 1000)
QUICK = Sizes(32, 64, 128, 2, 6, 50)


@dataclass
class Outcome:
    """`problems` is empty where all is well; `summary` is for the eye."""

    measured: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    summary: str = ""


def arithmetic(backend: str) -> tuple[str, str]:
    if backend not in DRIVERS:
        return "npu1", "exact"
    device = npu_device(backend)
    return device, npu_arithmetic(backend, device)


def model_error(backend: str) -> float:
    return MODEL_ERROR.get(arithmetic(backend)[1], MODEL_ERROR_DEFAULT)


def other_backend(backend: str) -> str:
    """The backend to compare with."""
    return "xla" if backend == "host" else "host"


@contextmanager
def attempt(outcome: Outcome, what: str) -> Iterator[None]:
    """What fails inside is a problem of the outcome, and the next one is tried."""
    try:
        yield
    except (RuntimeError, ArithmeticError, MemoryError) as error:
        outcome.problems.append(f"{what}: {error}")
