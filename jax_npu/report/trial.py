"""What every stage of a trial uses: sizes, an outcome, and the errors allowed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jax_npu.lowering.settings import expected_arithmetic
from jax_npu.runtime.target import DRIVERS, npu_arithmetic, npu_device

# Error allowed in an element c = sum_k a b, relative to its accumulated mass,
# sum_k |a| |b|. Rounding of f32 sums is a random walk, so it grows with sqrt(k).
SUM_ERROR_PER_SQRT_K = 2.0**-22
# Error allowed in a norm. A sum in another order may move an operand of the next
# product by a unit of bf16, 2^-8 of its value; bfp16 has two bits less.
MODEL_ERROR = {"bfp16": 0.05, "f32": 0.01}
# Error allowed in an element of a bfp16 product, relative to its mass with each value
# replaced by the largest of its block: 8 neighbours along k share one exponent, and
# their mantissas have 8 bits, sign included.
BFP16_ERROR, BFP16_BLOCK = 2.0**-6, 8


@dataclass(frozen=True)
class Sizes:
    """Sizes of the GPT-2 whose products are run, and numbers of repetitions."""

    tokens: int  # in a batch, all texts together
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
    """A stage's result: `problems` is empty if it passed, `summary` is printed."""

    measured: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    summary: str = ""


def element_error(backend: str, k: int) -> tuple[float, int]:
    """The error allowed in an element, and the number of values that share an exponent.

    The error is relative to the element's mass, as `product_errors` computes it.
    """
    if arithmetic(backend) == "bfp16":
        return BFP16_ERROR, BFP16_BLOCK
    return SUM_ERROR_PER_SQRT_K * k**0.5, 1


def model_error(backend: str) -> float:
    return MODEL_ERROR[arithmetic(backend)]


def other_backend(backend: str) -> str:
    """The backend with which `backend` is compared."""
    return "xla" if backend == "host" else "host"


def arithmetic(backend: str) -> str:
    """How a product rounds its bf16 operands: "f32" (not at all) or "bfp16"."""
    if backend not in DRIVERS:
        return "f32"
    return expected_arithmetic(npu_arithmetic(backend, npu_device(backend)))


@contextmanager
def attempt(outcome: Outcome, what: str) -> Iterator[None]:
    """Records an error inside as a problem, so that the next attempt can follow."""
    try:
        yield
    except (RuntimeError, ArithmeticError, MemoryError) as error:
        outcome.problems.append(f"{what}: {error}")
