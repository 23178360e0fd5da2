"""Compiled products with chosen checks, their operands, and their errors."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import ml_dtypes
import numpy as np

import jax_npu
from jax_npu.runtime.environment import CHECK, STRICT

SEED = 20250403
SCALES = 1.0, 2.0  # factors of lhs, and so of results; exact in every arithmetic
BLOCK = 4096  # rows and columns of a result compared at once: 128 MB in float64

Compiled = Callable[..., Any]


@contextmanager
def checks(mode: str) -> Iterator[None]:
    """Sets the checks for products lowered inside; their wrong results are errors."""
    chosen = {CHECK.name: mode, STRICT.name: "1"}
    before = {name: os.environ.get(name) for name in chosen}
    os.environ |= chosen
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def compiled_for(function: Callable[..., Any], *operands: Any) -> Compiled:
    return jax.jit(function).lower(*operands).compile()


def product(backend: str, subscripts: str = "mk,kn->mn") -> Callable[..., Any]:
    return lambda lhs, rhs: jax_npu.einsum(subscripts, lhs, rhs, backend=backend)


def checked(backend: str, lhs: Any, rhs: Any, *subscripts: str) -> np.ndarray:
    return _result("always", backend, lhs, rhs, *subscripts)


def unchecked(backend: str, lhs: Any, rhs: Any, *subscripts: str) -> np.ndarray:
    return _result("off", backend, lhs, rhs, *subscripts)


def _result(
    mode: str, backend: str, lhs: Any, rhs: Any, *subscripts: str
) -> np.ndarray:
    with checks(mode):
        compiled = compiled_for(product(backend, *subscripts), lhs, rhs)
    return np.asarray(compiled(lhs, rhs))


def random_operands(
    subscripts: str, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Signed random operands in float32, whose values are exact in bf16."""
    size = dict(zip("mkn", shape))
    random = np.random.default_rng([SEED, *shape])
    left, right = (
        random.standard_normal([size[label] for label in term], np.float32)
        .astype(ml_dtypes.bfloat16)
        .astype(np.float32)
        for term in subscripts.partition("->")[0].split(",")
    )
    return left, right


def timed(compiled: Compiled, operands: Sequence[Any]) -> tuple[np.ndarray, float]:
    """The result, and the seconds until it was ready."""
    start = time.perf_counter()
    result = compiled(*operands).block_until_ready()
    seconds = time.perf_counter() - start
    return np.asarray(result), seconds


def compare(result: np.ndarray, expected: np.ndarray) -> None:
    wrong = np.argwhere(result != expected)
    if len(wrong):
        first = tuple(int(i) for i in wrong[0])
        raise ArithmeticError(
            f"{len(wrong)} of {expected.size} elements are wrong, the first at {first}:"
            f" {result[first]} instead of {expected[first]}"
        )


def product_errors(
    result: Any, lhs: Any, rhs: Any, subscripts: str, k_block: int = 1
) -> tuple[float, float]:
    """Errors against float64: the largest of an element, and that of the whole.

    The first is |c - sum_k a b| over the element's mass, sum_k |a| |b|, in which each
    value counts as the largest of its block where `k_block` neighbours along k share an
    exponent. The second is |C - A B| / |A B| in the Frobenius norm. Both are NaN if the
    result contains NaN, and infinite if its shape is wrong.
    """
    left, right = subscripts.partition("->")[0].split(",")
    a = np.asarray(lhs if left == "mk" else lhs.T, np.float64)
    b = np.asarray(rhs if right == "kn" else rhs.T, np.float64)
    if result.shape != (len(a), b.shape[1]):
        return np.inf, np.inf
    weights_a, weights_b = _magnitudes(a, k_block), _magnitudes(b.T, k_block).T
    worst = wrong = whole = np.float64(0)
    for row in range(0, len(a), BLOCK):
        for column in range(0, b.shape[1], BLOCK):
            rows, columns = slice(row, row + BLOCK), slice(column, column + BLOCK)
            expected = a[rows] @ b[:, columns]
            with np.errstate(invalid="ignore"):  # garbage may be NaN
                errors = np.abs(result[rows, columns] - expected)
            mass = weights_a[rows] @ weights_b[:, columns]
            worst = np.maximum(worst, np.max(errors / mass))  # keeps NaN
            wrong += np.vdot(errors, errors)
            whole += np.vdot(expected, expected)
    return float(worst), float((wrong / whole) ** 0.5)


def _magnitudes(x: np.ndarray, k_block: int) -> np.ndarray:
    """|x| of shape (rows, k), each value replaced by the largest of its block in k."""
    k = x.shape[1]
    largest = np.maximum.reduceat(np.abs(x), np.arange(0, k, k_block), axis=1)
    return np.repeat(largest, k_block, axis=1)[:, :k]
