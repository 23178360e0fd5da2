"""What an NPU has to pass: products against NumPy, gradients, training, repetition.

A stage is a function of backend and sizes. It raises nothing for a wrong result: what
was measured and what is wrong with it both go into the report. Correctness is asked
for with every run checked, times are taken with no checks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jax_npu
from jax_npu.backend_choice import DRIVERS, npu_arithmetic, npu_device
from jax_npu.tiny_gpt import GptSizes, losses
from jax_npu.trial_products import (
    SEED,
    checked,
    checks,
    compiled_for,
    max_error,
    product,
    random_operands,
    seconds,
    unchecked,
)
from jax_npu.verification import check_attributes

SMALL = (64, 64, 32)
# Sums of products of these are exact in every arithmetic of these NPUs, bfp16 too.
LARGEST_INTEGER = 8
EXACT_SHAPES = ((1, 1, 1), SMALL, (100, 130, 70))
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


def gemms(sizes: Sizes) -> Iterator[tuple[str, str, tuple[int, int, int]]]:
    """What a training step multiplies: name, subscripts as operands lie, (m, k, n).

    Weights lie as (out, in), as in llm.c: Y = X Wᵀ, dX = dY W, dW = dYᵀ X. Of equal
    sizes the first is taken: twelve for GPT-2.
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


def small_product(backend: str, sizes: Sizes) -> Outcome:
    """Products of small integers, which are exact."""
    outcome = Outcome()
    random = np.random.default_rng(SEED)
    for m, k, n in EXACT_SHAPES:
        a, b = (
            random.integers(-LARGEST_INTEGER, LARGEST_INTEGER, shape, endpoint=True)
            for shape in ((m, k), (k, n))
        )
        operands = a.astype(np.float32), b.astype(np.float32)
        with _attempt(outcome, f"({m}, {k}, {n})"):
            _compare(unchecked(backend, *operands), a @ b)
            _compare(checked(backend, *operands), a @ b)
    outcome.summary = f"{len(EXACT_SHAPES)} products"
    return outcome


def gpt2_products(backend: str, sizes: Sizes) -> Outcome:
    """Every product of a step of GPT-2: error against float64, and time per call."""
    outcome = Outcome({"against": _other(backend), "gemms": []})
    for name, subscripts, shape in gemms(sizes):
        row: dict[str, Any] = {"name": name, "mkn": shape, "subscripts": subscripts}
        outcome.measured["gemms"].append(row)
        with _attempt(outcome, name):
            operands = random_operands(subscripts, shape)
            result = unchecked(backend, *operands, subscripts)
            allowed, k_block = _tolerance(backend, shape[1])
            error = max_error(result, *operands, subscripts, k_block)
            row |= {"max_error": error, "max_error_allowed": allowed}
            if not error <= allowed:  # NaN is none either
                raise ArithmeticError(f"error {error:.3g} of the accumulated mass")
            _compare(checked(backend, *operands, subscripts), result)
            calls = _timed_calls(backend, subscripts, operands, sizes.timed_calls)
            row |= _rates(calls[1:], shape)
            for call in calls:
                _compare(call.result, result)
    outcome.summary = _summary(outcome.measured["gemms"], backend)
    return outcome


def gradients(backend: str, sizes: Sizes) -> Outcome:
    """Of a two-layer loss through jit, against those of the other backend."""
    random = np.random.default_rng(SEED)
    t, d = sizes.tokens, sizes.width
    shapes = (t, d), (d, 4 * d), (4 * d, d)
    x, w1, w2 = (random.normal(size=s).astype(np.float32) / s[0] ** 0.5 for s in shapes)

    def gradient(name: str) -> list[np.ndarray]:
        def loss(x, w1, w2):
            hidden = jnp.tanh(jax_npu.matmul(x, w1, backend=name))
            return jnp.sum(jax_npu.matmul(hidden, w2, backend=name) ** 2)

        with checks("always"):
            compiled = compiled_for(jax.grad(loss, argnums=(0, 1, 2)), x, w1, w2)
            return [np.asarray(part) for part in compiled(x, w1, w2)]

    expected = gradient(_other(backend))
    errors = [_relative(a, b) for a, b in zip(gradient(backend), expected)]
    outcome = Outcome({"relative_errors": dict(zip(("x", "w1", "w2"), errors))})
    outcome.summary = f"{max(errors):.1e} from {_other(backend)}'s"
    _judge(outcome, "a gradient", max(errors), _model_error(backend))
    return outcome


def training(backend: str, sizes: Sizes) -> Outcome:
    """Losses of a tiny GPT, step by step, against those of the other backend."""
    gpt = GptSizes()
    with checks("always"):
        start = time.perf_counter()
        found = losses(backend, gpt, sizes.training_steps)
        taken = time.perf_counter() - start
        expected = losses(_other(backend), gpt, sizes.training_steps)
    outcome = Outcome({"losses": found, "expected": expected, "seconds": taken})
    error = _relative(np.array(found), np.array(expected))
    outcome.measured["relative_error"] = error
    outcome.summary = f"{len(found)} steps, loss {found[0]:.3f} to {found[-1]:.3f}"
    _judge(outcome, "the losses", error, _model_error(backend))
    if not found[-1] < found[0]:
        outcome.problems.append(f"the loss did not fall: {found[0]} to {found[-1]}")
    return outcome


def repetition(backend: str, sizes: Sizes) -> Outcome:
    """One small product over and over: equal results, latency and throughput."""
    operands = random_operands("mk,kn->mn", SMALL)
    calls = sizes.small_calls
    with checks("always"):
        compiled = compiled_for(product(backend), *operands)
        results = [np.asarray(compiled(*operands)) for _ in range(calls)]

    with checks("off"):
        compiled = compiled_for(product(backend), *operands)
    arrays = [jnp.asarray(one) for one in operands]
    microseconds = sorted(1e6 * seconds(compiled, arrays) for _ in range(calls))
    start = time.perf_counter()
    several = jax.block_until_ready([compiled(*arrays) for _ in range(calls)])
    taken = time.perf_counter() - start

    results += [np.asarray(one) for one in several]
    num_different = sum(not np.array_equal(one, results[0]) for one in results)
    outcome = Outcome({"mkn": SMALL, "calls": calls, "different": num_different})
    if num_different:
        outcome.problems.append(f"{num_different} of {len(results)} results differ")
    outcome.measured |= {
        "latency_us": median(microseconds),
        "latency_p99_us": microseconds[int(0.99 * (calls - 1))],
        "calls_per_second": calls / taken,
    }
    outcome.summary = f"{calls:,} calls, {outcome.measured['latency_us']:,.0f} us each"
    return outcome


Stage = Callable[[str, Sizes], Outcome]  # of a backend
STAGES: dict[str, Stage] = {
    "exact integers": small_product,
    "GPT-2 products": gpt2_products,
    "gradients": gradients,
    "training": training,
    "repetition": repetition,
}


def _summary(rows: list[dict[str, Any]], backend: str) -> str:
    done = [row for row in rows if "gflops" in row]
    if not done:
        return ""
    rates = ", ".join(
        f"{name} {min(gflops):.1f} to {max(gflops):.1f} GFLOP/s"
        for name, key in ((backend, "gflops"), (_other(backend), "gflops_against"))
        for gflops in [[row[key] for row in done]]
    )
    worst = max(row["max_error"] for row in done)
    return f"{len(done)} products, error at most {worst:.1e}; {rates}"


def _tolerance(backend: str, k: int) -> tuple[float, int]:
    """As the checks at run time have it; that of `host` as of npu1."""
    attributes = check_attributes(*_arithmetic(backend), k)
    return attributes["tolerance"], int(attributes["tolerance_k_block"])


def _arithmetic(backend: str) -> tuple[str, str]:
    if backend not in DRIVERS:
        return "npu1", "exact"
    device = npu_device(backend)
    return device, npu_arithmetic(backend, device)


def _model_error(backend: str) -> float:
    return MODEL_ERROR.get(_arithmetic(backend)[1], MODEL_ERROR_DEFAULT)


def _other(backend: str) -> str:
    """The backend to compare with."""
    return "xla" if backend == "host" else "host"


@contextmanager
def _attempt(outcome: Outcome, what: str) -> Iterator[None]:
    """What fails inside is a problem of the outcome, and the next one is tried."""
    try:
        yield
    except (RuntimeError, ArithmeticError, MemoryError) as error:
        outcome.problems.append(f"{what}: {error}")


def _compare(result: np.ndarray, expected: np.ndarray) -> None:
    wrong = np.argwhere(result != expected)
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        raise ArithmeticError(
            f"{len(wrong)} of {expected.size} elements are wrong, the first at {first}:"
            f" {result[first]} for {expected[first]}"
        )


@dataclass(frozen=True)
class _Call:
    result: np.ndarray
    seconds: float
    seconds_against: float


def _timed_calls(
    backend: str, subscripts: str, operands: tuple, calls: int
) -> list[_Call]:
    """Calls of both backends in turn; the first is for caches and clocks to settle."""
    arrays = [jnp.asarray(one) for one in operands]
    with checks("off"):
        ours, other = (
            compiled_for(product(name, subscripts), *arrays)
            for name in (backend, _other(backend))
        )
    rounds = []
    for _ in range(calls + 1):
        start = time.perf_counter()
        result = ours(*arrays).block_until_ready()
        taken = time.perf_counter() - start
        rounds.append(_Call(np.asarray(result), taken, seconds(other, arrays)))
    return rounds


def _rates(calls: list[_Call], shape: tuple[int, int, int]) -> dict[str, float]:
    ours = median(call.seconds for call in calls)
    others = median(call.seconds_against for call in calls)
    gflop = 2e-9 * shape[0] * shape[1] * shape[2]
    return {
        "seconds": ours,
        "gflops": gflop / ours,
        "seconds_against": others,
        "gflops_against": gflop / others,
    }


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _judge(outcome: Outcome, what: str, error: float, allowed: float) -> None:
    outcome.measured["relative_error_allowed"] = allowed
    if not error <= allowed:  # NaN is none either
        outcome.problems.append(f"{what} is off by {error:.3g}, allowed {allowed:.3g}")
