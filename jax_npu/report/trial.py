"""What every stage of a trial has: sizes, an outcome, and what may differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jax_npu.lowering.checks import expected_arithmetic
from jax_npu.runtime.target import DRIVERS, npu_arithmetic, npu_device

# Of an element, over its accumulated mass: sums in f32 round as a random walk.
SUM_ERROR_PER_SQRT_K = 2.0**-22
# Of a norm. A sum in another order may move an operand of the next product by a unit of
# bf16, 2^-8 of it; bfp16 has two bits less.
MODEL_ERROR = {"bfp16": 0.05, "f32": 0.01}
# Of a product of bfp16 values, which have 8-bit signed mantissas and share an exponent
# with their neighbours along k, over the product of the largest ones.
BFP16_ERROR, BFP16_BLOCK = 2.0**-6, 8


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


def element_error(backend: str, k: int) -> tuple[float, int]:
    """What is allowed, and how many neighbours along k weigh as their largest."""
    if arithmetic(backend) == "bfp16":
        return BFP16_ERROR, BFP16_BLOCK
    return SUM_ERROR_PER_SQRT_K * k**0.5, 1


def model_error(backend: str) -> float:
    return MODEL_ERROR[arithmetic(backend)]


def other_backend(backend: str) -> str:
    """The backend to compare with."""
    return "xla" if backend == "host" else "host"


def arithmetic(backend: str) -> str:
    """How operands of a product are rounded: "f32" (not at all) or "bfp16"."""
    if backend not in DRIVERS:
        return "f32"
    return expected_arithmetic(npu_arithmetic(backend, npu_device(backend)))


@contextmanager
def attempt(outcome: Outcome, what: str) -> Iterator[None]:
    """What fails inside is a problem of the outcome, and the next one is tried."""
    try:
        yield
    except (RuntimeError, ArithmeticError, MemoryError) as error:
        outcome.problems.append(f"{what}: {error}")
