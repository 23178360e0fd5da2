"""Contractions in float64, and how far a sum in f32 may be from them."""

from dataclasses import dataclass

import jax.numpy as jnp
import ml_dtypes
import numpy as np

# Error of an f32 sum in any order, relative to its accumulated mass sum |a| |b|: some
# units of 2^-24.
ACCUMULATION_ERROR = 2e-6
# Relative error of rounding to bf16, which has 8 significant bits.
BF16_ROUNDING = 2.0**-8


@dataclass(frozen=True)
class Expected:
    """What a contraction must be, and by how much each element may differ."""

    value: np.ndarray  # f64
    bound: np.ndarray

    def check(self, actual, name=""):
        actual = np.asarray(actual).astype(np.float64)
        assert actual.shape == self.value.shape, name
        wrong = np.abs(actual - self.value) > self.bound
        assert not wrong.any(), (
            f"{name}{wrong.sum()} of {wrong.size} beyond the bound, the first at "
            f"{np.argwhere(wrong)[0]}: {actual[wrong][0]} for {self.value[wrong][0]} "
            f"(bound {self.bound[wrong][0]:.2g})"
        )


def expected_contraction(subscripts, lhs, rhs, out, backend, error=ACCUMULATION_ERROR):
    """`Expected` of NumPy's contraction, of operands that `backend` rounds to bf16."""
    lhs, rhs = (np.asarray(x).astype(np.float64) for x in (lhs, rhs))
    if backend != "xla":
        lhs, rhs = as_bf16(lhs), as_bf16(rhs)
    value = np.einsum(subscripts, lhs, rhs, optimize=True)
    mass = np.einsum(subscripts, np.abs(lhs), np.abs(rhs), optimize=True)  # sum |a| |b|
    bound = error * mass
    if jnp.dtype(out) == jnp.bfloat16:
        bound = bound + BF16_ROUNDING * (np.abs(value) + bound)
    return Expected(value, bound)


def as_bf16(x):
    return np.asarray(x, np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)
