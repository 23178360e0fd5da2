"""How results of the NPU are checked while a program runs.

A run's output is filled with a pattern that no product has, and after the run compared
with the operands by Freivalds' test, C r = A (B r) for random signs r: O(n^2) work
beside the run's O(n^3). `xla_ffi/npu_check.cc` does it.
"""

import math
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

# Error of a row's signed sum over its accumulated mass, by arithmetic: several times
# what was measured of single elements (bfp16 2.4e-4, with floor 9.9e-3, npu2 exact
# 7e-5; npu1 below 1e-6). Rounding on npu1 grows as a random walk along k.
NPU1_ERROR_PER_SQRT_K = 2.0**-22
NPU2_ERROR = {
    "exact": 1e-3,
    "fast": 1e-3,
    "bfp16": 2.0**-6,
    "bfp16_floor": 0.05,
}
BFP16_BLOCK = 8  # neighbours along k with one exponent


def check_attributes(device: str, arithmetic: str, padded_k: int) -> dict[str, Any]:
    """`check`, `strict` and `tolerance` of `xla_ffi/handlers.cc`.

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
    if device == "npu1":
        tolerance, k_block = NPU1_ERROR_PER_SQRT_K * math.sqrt(padded_k), 1
    else:
        tolerance = NPU2_ERROR[arithmetic]
        k_block = BFP16_BLOCK if arithmetic.startswith("bfp16") else 1
    return {
        "check": check,
        "strict": strict == "1",
        "tolerance": tolerance,
        "tolerance_k_block": np.int64(k_block),
    }
