"""How results of the NPU are checked while a program runs.

A run's output is filled with a pattern that no product has, and after the run compared
with the operands by Freivalds' test, C r = A (B r) for random signs r: O(n^2) work
beside the run's O(n^3). `xla_ffi/npu/verify/` does it: `check.cc` compares,
`self_test.cc` has a new context compute two known products first, and `health.cc`
decides what follows a wrong result.
"""

from typing import Any

from jax_npu.runtime.environment import CHECK, STRICT
from xdna.arithmetics import ARITHMETICS


def check_attributes() -> dict[str, Any]:
    """`check` and `strict` of the custom call.

    `$JAX_NPU_CHECK` and `$JAX_NPU_STRICT` are read when a program is lowered.

    Raises:
      ValueError: for a value that either does not have.
    """
    return {"check": CHECK.choose(), "strict": STRICT.choose() == "1"}


def expected_arithmetic(arithmetic: str) -> str:
    """How cores that compute right round operands: "f32" (not at all) or "bfp16".

    Args:
      arithmetic: a name in `ARITHMETICS`.
    """
    return ARITHMETICS[arithmetic].operands
