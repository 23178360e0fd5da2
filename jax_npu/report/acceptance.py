"""What an NPU has to pass: self-test, products, gradients, training, repetition.

A stage is a function of backend and sizes. It does not raise for a wrong result: it
returns what it measured and the problems that it found, and both go into the report.
Results are tested with every run checked, times are taken without checks.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np

import jax_npu
from jax_npu.report.tiny_gpt import GptSizes, losses
from jax_npu.report.trial import Outcome, Sizes, attempt, model_error, other_backend
from jax_npu.report.trial_gpt2 import gpt2_products
from jax_npu.report.trial_products import (
    SCALES,
    SEED,
    checked,
    checks,
    compare,
    compiled_for,
    product,
    random_operands,
    timed,
    unchecked,
)
from jax_npu.runtime.designs import trust_design
from jax_npu.runtime.target import DRIVERS, npu_device

SMALL = (64, 64, 32)
# Sums of products of integers up to 8 are exact on every NPU, in bfp16 too.
LARGEST_INTEGER = 8
EXACT_SHAPES = ((1, 1, 1), SMALL, (100, 130, 70))


def small_product(backend: str, sizes: Sizes) -> Outcome:
    """Products of small integers, whose results must be exact."""
    outcome = Outcome()
    random = np.random.default_rng(SEED)
    for m, k, n in EXACT_SHAPES:
        a, b = (
            random.integers(-LARGEST_INTEGER, LARGEST_INTEGER, shape, endpoint=True)
            for shape in ((m, k), (k, n))
        )
        operands = a.astype(np.float32), b.astype(np.float32)
        with attempt(outcome, f"({m}, {k}, {n})"):
            compare(unchecked(backend, *operands), a @ b)
            compare(checked(backend, *operands), a @ b)
    outcome.summary = f"{len(EXACT_SHAPES)} products"
    return outcome


def self_test(backend: str, sizes: Sizes) -> Outcome:
    """The known products that a context computes before anything else."""
    if backend not in DRIVERS:
        return Outcome(summary="not needed on the host")
    operands = random_operands("mk,kn->mn", SMALL)
    outcome = Outcome()
    with attempt(outcome, "a product"):
        checked(backend, *operands)
    health = jax_npu.npu_health().get(backend)
    if health is None:
        outcome.problems.append("no context was made")
        return outcome
    outcome.measured = asdict(health)
    outcome.summary = f"{health.self_test_ms:.0f} ms, arithmetic {health.arithmetic}"
    if health.self_test_problem:
        outcome.problems.append(health.self_test_problem)
    elif backend == "npu" and not outcome.problems:
        trust_design(npu_device(backend), health.arithmetic)
    return outcome


def gradients(backend: str, sizes: Sizes) -> Outcome:
    """Gradients of a two-layer loss through jit, against the other backend's."""
    random = np.random.default_rng(SEED)
    t, d = sizes.tokens, sizes.width
    shapes = (t, d), (d, 4 * d), (4 * d, d)
    x, w1, w2 = (random.normal(size=s).astype(np.float32) / s[0] ** 0.5 for s in shapes)

    def gradient(name: str) -> list[np.ndarray]:
        def loss(x: jax.Array, w1: jax.Array, w2: jax.Array) -> jax.Array:
            hidden = jnp.tanh(jax_npu.matmul(x, w1, backend=name))
            return jnp.sum(jax_npu.matmul(hidden, w2, backend=name) ** 2)

        with checks("always"):
            compiled = compiled_for(jax.grad(loss, argnums=(0, 1, 2)), x, w1, w2)
            return [np.asarray(part) for part in compiled(x, w1, w2)]

    expected = gradient(other_backend(backend))
    errors = [_relative(a, b) for a, b in zip(gradient(backend), expected)]
    outcome = Outcome({"relative_errors": dict(zip(("x", "w1", "w2"), errors))})
    outcome.summary = f"{max(errors):.1e} from {other_backend(backend)}'s"
    _judge(outcome, "a gradient", max(errors), model_error(backend))
    return outcome


def training(backend: str, sizes: Sizes) -> Outcome:
    """Losses of a tiny GPT, step by step, against the other backend's."""
    gpt = GptSizes()
    with checks("always"):
        start = time.perf_counter()
        found = losses(backend, gpt, sizes.training_steps)
        taken = time.perf_counter() - start
        expected = losses(other_backend(backend), gpt, sizes.training_steps)
    outcome = Outcome({"losses": found, "expected": expected, "seconds": taken})
    error = _relative(np.array(found), np.array(expected))
    outcome.measured["relative_error"] = error
    outcome.summary = f"{len(found)} steps, loss {found[0]:.3f} to {found[-1]:.3f}"
    _judge(outcome, "the losses", error, model_error(backend))
    if not found[-1] < found[0]:
        outcome.problems.append(f"the loss did not fall: {found[0]} to {found[-1]}")
    return outcome


def repetition(backend: str, sizes: Sizes) -> Outcome:
    """One small product, repeated: equal results, latency and throughput.

    Every other call multiplies 2 lhs: with the same operands each time, a result that
    the NPU left untouched would pass as right.
    """
    lhs, rhs = map(jnp.asarray, random_operands("mk,kn->mn", SMALL))
    calls = sizes.small_calls
    operands = [(SCALES[i % 2] * lhs, rhs) for i in range(calls)]
    with checks("always"):
        compiled = compiled_for(product(backend), lhs, rhs)
        results = [np.asarray(compiled(*one)) for one in operands]

    with checks("off"):
        compiled = compiled_for(product(backend), lhs, rhs)
    alone = [timed(compiled, one) for one in operands]
    microseconds = sorted(1e6 * seconds for _, seconds in alone)
    start = time.perf_counter()
    several = [compiled(*one) for one in operands]  # none waits for another
    for result in several:
        result.block_until_ready()
    taken = time.perf_counter() - start

    results += [result for result, _ in alone] + [np.asarray(one) for one in several]
    expected = [scale * results[0] for scale in SCALES]
    num_different = sum(
        not np.array_equal(result, expected[i % calls % 2])
        for i, result in enumerate(results)
    )
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


Stage = Callable[[str, Sizes], Outcome]  # (backend, sizes)
STAGES: dict[str, Stage] = {
    "self-test": self_test,
    "exact integers": small_product,
    "GPT-2 products": gpt2_products,
    "gradients": gradients,
    "training": training,
    "repetition": repetition,
}


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def _judge(outcome: Outcome, what: str, error: float, allowed: float) -> None:
    outcome.measured["relative_error_allowed"] = allowed
    if not error <= allowed:  # true for NaN, too
        outcome.problems.append(f"{what} is off by {error:.3g}, allowed {allowed:.3g}")
