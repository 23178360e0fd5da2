"""How results of the NPU are checked while a program runs.

A run's output is filled with a pattern that no product has, and after the run compared
with the operands by Freivalds' test, C r = A (B r) for random signs r: O(n^2) work
beside the run's O(n^3). `xla_ffi/npu_check.cc` does it.
"""

import os
from typing import Any

import numpy as np

CHECK_VARIABLE = "JAX_NPU_CHECK"
STRICT_VARIABLE = "JAX_NPU_STRICT"

CHECKS = {
    "sample": "the first run of every shape, then one of 32",
    "first": "the first run of every shape",
    "always": "every run",
    "off": "none",
}

# What rounding of the operands takes from an element at most, over its accumulated
# mass, and from a product of two typically. bfp16 has 8-bit signed mantissas, so each
# factor is off by 2^-7 of the largest of its block at most, with floor by 2^-6; what
# f32 sums lose comes on top.
BFP16_ERROR = {"bfp16": (2.0**-6, 2.0**-7), "bfp16_floor": (2.0**-5, 2.0**-6)}
BFP16_BLOCK = 8  # neighbours along k with one exponent
# Of a sum of k products in f32 typically, for each of them: partial sums are of the
# size of the sum, and every addition rounds by a part of 2^-24 of that.
SUM_ERROR = 2.0**-25


def check_attributes(arithmetic: str, padded_k: int) -> dict[str, Any]:
    """`check`, `strict` and tolerances of `xla_ffi/handlers.cc`.

    `$JAX_NPU_CHECK` is `sample` (the default), `first`, `always` or `off`. A result
    that is wrong is computed anew by the host, and reported; with `$JAX_NPU_STRICT=1`
    it is an error. Both are read when a program is lowered.

    Raises:
      ValueError: for another value of either.
    """
    check = os.environ.get(CHECK_VARIABLE) or next(iter(CHECKS))
    if check not in CHECKS:
        raise ValueError(
            f"{CHECK_VARIABLE} must be one of {', '.join(CHECKS)}, got {check!r}; "
            "correct or unset it"
        )
    strict = os.environ.get(STRICT_VARIABLE) or "0"
    if strict not in ("0", "1"):
        raise ValueError(
            f"{STRICT_VARIABLE} must be 0 or 1, got {strict!r}; correct or unset it"
        )
    element, product = BFP16_ERROR.get(arithmetic, (0.0, 0.0))
    return {
        "check": check,
        "strict": strict == "1",
        "element_tolerance": element,
        "product_tolerance": product + SUM_ERROR * padded_k,
        "tolerance_k_block": np.int64(BFP16_BLOCK if arithmetic in BFP16_ERROR else 1),
    }
