"""The checks of an NPU's results that a program is lowered with.

Before a run its output is filled with a pattern that no product has. After the run it
is compared with the operands by Freivalds' test, C r = A (B r) for random signs r:
O(n^2) work beside the run's O(n^3). `xla_ffi/npu/verify/` does it: `check.cc` compares,
`self_test.cc` has a new context compute two known products first, and `health.cc`
decides what follows a wrong result.
"""

from jax_npu.runtime.environment import CHECK, STRICT
from xdna.arithmetics import ARITHMETICS


def check_policy() -> tuple[str, bool]:
    """The results to check, as `$JAX_NPU_CHECK` has it, and whether to be strict.

    If a result is wrong, the host computes the product again; where checks are strict,
    it is an error.

    `$JAX_NPU_CHECK` and `$JAX_NPU_STRICT` are read when a program is lowered.

    Raises:
      ValueError: for a value that either does not have.
    """
    return CHECK.choose(), STRICT.choose() == "1"


def expected_arithmetic(arithmetic: str) -> str:
    """How cores that compute right round operands: "f32" (not at all) or "bfp16".

    Args:
      arithmetic: a name in `ARITHMETICS`.
    """
    return ARITHMETICS[arithmetic].operands
