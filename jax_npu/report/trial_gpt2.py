"""The products of GPT-2's training step: errors against NumPy, and times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import jax.numpy as jnp
import numpy as np

from jax_npu.report.trial import (
    Outcome,
    Sizes,
    attempt,
    element_error,
    model_error,
    other_backend,
)
from jax_npu.report.trial_products import (
    SCALES,
    checked,
    checks,
    compare,
    compiled_for,
    product,
    product_errors,
    random_operands,
    timed,
    unchecked,
)

Operands = tuple[np.ndarray, np.ndarray]


def gemms(sizes: Sizes) -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """The products of a training step: name, subscripts as in memory, (m, k, n).

    Weights are stored as (out, in), as in llm.c: Y = X Wᵀ, dX = dY W, dW = dYᵀ X. Each
    size is yielded once, which leaves twelve products for GPT-2.
    """
    t, d = sizes.tokens, sizes.width
    layers = {
        "qkv": (d, 3 * d),
        "attention projection": (d, d),
        "mlp up": (d, 4 * d),
        "mlp down": (4 * d, d),
        "lm head": (d, sizes.vocabulary),
    }
    seen = set()
    for name, (k, n) in layers.items():
        for direction, subscripts, shape in (
            ("forward", "mk,nk->mn", (t, k, n)),
            ("dX", "mk,kn->mn", (t, n, k)),
            ("dW", "km,kn->mn", (n, t, k)),
        ):
            if shape not in seen:
                seen.add(shape)
                yield f"{name}, {direction}", subscripts, shape


def gpt2_products(backend: str, sizes: Sizes) -> Outcome:
    """Every product of a step of GPT-2: error against float64, and time per call."""
    outcome = Outcome({"against": other_backend(backend), "gemms": []})
    for name, subscripts, shape in gemms(sizes):
        row: dict[str, Any] = {"name": name, "mkn": shape, "subscripts": subscripts}
        outcome.measured["gemms"].append(row)
        with attempt(outcome, name):
            operands = random_operands(subscripts, shape)
            result = unchecked(backend, *operands, subscripts)
            row |= _errors(backend, subscripts, shape[1], operands, result)
            judge(row)
            compare(checked(backend, *operands, subscripts), result)
            calls = _timed_calls(backend, subscripts, operands, sizes.timed_calls)
            row |= _rates(calls[1:], shape)
            for call in calls:
                compare(call.result, call.scale * result)
    outcome.summary = _summary(outcome.measured["gemms"], backend)
    return outcome


def _errors(
    backend: str, subscripts: str, k: int, operands: Operands, result: np.ndarray
) -> dict[str, float]:
    """The errors of a result, and those allowed."""
    allowed, k_block = element_error(backend, k)
    worst, relative = product_errors(result, *operands, subscripts, k_block)
    return {
        "max_error": worst,
        "max_error_allowed": allowed,
        "relative_error": relative,
        "relative_error_allowed": model_error(backend),
    }


def judge(row: dict[str, Any]) -> None:
    """Judges each element, and the norm, which also finds many small errors.

    Raises:
      ArithmeticError: if either error is more than allowed, or NaN.
    """
    for name, what in (
        ("max_error", "an element is off by {:.3g} of its accumulated mass"),
        ("relative_error", "the result is off by {:.3g}"),
    ):
        if not row[name] <= row[f"{name}_allowed"]:
            allowed = row[f"{name}_allowed"]
            raise ArithmeticError(f"{what.format(row[name])}, allowed {allowed:.3g}")


@dataclass(frozen=True)
class _Call:
    scale: float  # factor of lhs
    result: np.ndarray
    seconds: float
    seconds_against: float


def _timed_calls(
    backend: str, subscripts: str, operands: Operands, calls: int
) -> list[_Call]:
    """Calls of both backends in turn; the first one lets caches and clocks settle.

    Every other call, from the first on, multiplies 2 lhs: with the same operands each
    time, a result that the NPU left untouched would pass as right.
    """
    lhs, rhs = (jnp.asarray(one) for one in operands)
    with checks("off"):
        ours, other = (
            compiled_for(product(name, subscripts), lhs, rhs)
            for name in (backend, other_backend(backend))
        )
    rounds = []
    for i in range(calls + 1):
        scale = SCALES[(i + 1) % 2]
        result, seconds = timed(ours, (scale * lhs, rhs))
        _, seconds_against = timed(other, (scale * lhs, rhs))
        rounds.append(_Call(scale, result, seconds, seconds_against))
    return rounds


def _rates(calls: list[_Call], shape: tuple[int, int, int]) -> dict[str, float]:
    ours = median(call.seconds for call in calls)
    others = median(call.seconds_against for call in calls)
    gflop = 2e-9 * shape[0] * shape[1] * shape[2]  # 2 m k n
    return {
        "seconds": ours,
        "gflops": gflop / ours,
        "seconds_against": others,
        "gflops_against": gflop / others,
    }


def _summary(rows: list[dict[str, Any]], backend: str) -> str:
    done = [row for row in rows if "gflops" in row]
    if not done:
        return ""
    worst = max(row["max_error"] for row in done)
    ours = _range(row["gflops"] for row in done)
    others = _range(row["gflops_against"] for row in done)
    return (
        f"{len(done)} products, error at most {worst:.1e}; {backend} {ours}, "
        f"{other_backend(backend)} {others} GFLOP/s"
    )


def _range(values: Iterable[float]) -> str:
    numbers = sorted(values)
    return f"{numbers[0]:.1f} to {numbers[-1]:.1f}"
