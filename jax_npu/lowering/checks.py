"""How results of the NPU are checked while a program runs.

Before a run its output is filled with a pattern that no product has. After the run it
is compared with the operands by Freivalds' test, C r = A (B r) for random signs r:
O(n^2) work beside the run's O(n^3). `xla_ffi/npu/verify/` does it: `check.cc` compares,
`self_test.cc` has a new context compute two known products first, and `health.cc`
decides what follows a wrong result.
"""

import os

CHECK_VARIABLE = "JAX_NPU_CHECK"
STRICT_VARIABLE = "JAX_NPU_STRICT"

CHECKS = {
    "sample": "the first run of every shape, then at least one of any 32 in a row",
    "first": "the first run of every shape",
    "always": "every run",
    "off": "none",
}


def check_policy() -> tuple[str, bool]:
    """The results to check, a name in `CHECKS`, and whether a wrong one is an error.

    `$JAX_NPU_CHECK` chooses the results; the default is `sample`. If a result is wrong,
    the host computes the product again; with `$JAX_NPU_STRICT=1` it is an error. Both
    variables are read when a program is lowered.

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
    return check, strict == "1"


def expected_arithmetic(arithmetic: str) -> str:
    """The arithmetic that a right result has: how the cores should round operands.

    Args:
      arithmetic: a name in `target.DEVICES`. `bfp16_floor` is a fault of cores
        that should compute in `bfp16`.
    """
    return "bfp16" if arithmetic.startswith("bfp16") else "f32"
