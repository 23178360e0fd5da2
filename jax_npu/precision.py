"""JAX's `precision=` as a number of bf16 products.

An f32 value is the sum of three bf16 parts: its rounding, the rounding of the rest, and
so on. A product of higher precision sums products of parts, all accumulated in f32:
1 (one bf16 pass), 3, 6 or 9 of them (`DotAlgorithmPreset.BF16_BF16_F32_X3` and so on,
after Henry, Tang and Heinecke, arXiv 1904.06376).

Six products are as accurate as f32 while operands and results are, in magnitude,
between about 1e-30 and 3e38. Below, lower parts are denormal and may be flushed to
zero. An operand that rounds beyond bf16's largest finite value, 3.39e38, is infinite.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.lax import DotAlgorithm, DotAlgorithmPreset, Precision

_PASSES_OF_PRECISION = {Precision.DEFAULT: 1, Precision.HIGH: 3, Precision.HIGHEST: 6}
_PASSES_OF_ALGORITHM = {
    DotAlgorithmPreset.DEFAULT: 1,
    DotAlgorithmPreset.BF16_BF16_F32: 1,
    DotAlgorithmPreset.BF16_BF16_F32_X3: 3,
    DotAlgorithmPreset.BF16_BF16_F32_X6: 6,
    DotAlgorithmPreset.BF16_BF16_F32_X9: 9,
    # At least as precise as these.
    DotAlgorithmPreset.TF32_TF32_F32: 3,
    DotAlgorithmPreset.TF32_TF32_F32_X3: 6,
    DotAlgorithmPreset.F32_F32_F32: 6,
}
# Parts (i, j) are about 2^(-8 (i + j)) of the product; the sum of both ends at this.
_MAX_PART_SUM = {1: 0, 3: 1, 6: 2, 9: 4}


def num_passes(precision: Any) -> int:
    """1, 3, 6 or 9, from a precision as `lax.dot_general_p` carries it.

    Raises:
      NotImplementedError: for an algorithm that is not a sum of bf16 products.
    """
    if precision is None:
        return 1
    if _is_pair(precision):
        return max(_PASSES_OF_PRECISION[p] for p in precision)
    if precision not in _PASSES_OF_ALGORITHM:
        names = ", ".join(p.name for p in _PASSES_OF_ALGORITHM)
        raise NotImplementedError(
            f"jax_npu multiplies bf16 and accumulates f32: precision must be a "
            f"jax.lax.Precision or one of {names}, got {precision}; use one of these, "
            'or backend="xla".'
        )
    return _PASSES_OF_ALGORITHM[precision]


def is_sum_of_products(precision: Any) -> bool:
    """Whether `num_passes` has a number for it."""
    return precision is None or _is_pair(precision) or precision in _PASSES_OF_ALGORITHM


def _is_pair(precision: Any) -> bool:
    """Whether it is a precision for each operand; a `DotAlgorithm` is a tuple too."""
    return isinstance(precision, tuple) and not isinstance(precision, DotAlgorithm)


def part_pairs(
    passes: int, lhs_dtype: np.dtype, rhs_dtype: np.dtype
) -> list[tuple[int, int]]:
    """The parts (of lhs, of rhs) to multiply, smallest products first.

    A bf16 operand is its own only part.
    """
    pairs = [
        (i, j)
        for i in range(1 if lhs_dtype == jnp.bfloat16 else 3)
        for j in range(1 if rhs_dtype == jnp.bfloat16 else 3)
        if i + j <= _MAX_PART_SUM[passes]
    ]
    return sorted(pairs, key=sum, reverse=True)
