"""Products of types that the NPU does not multiply, which stay with lax.

A `dot_general` that is dropped into a library meets whatever the library multiplies.
"""

import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jax_npu.lowering.offload_choice import GEMM_DTYPES
from jax_npu.runtime.environment import STRICT


def is_left_to_lax(preferred: DTypeLike | None, *operands: Any) -> bool:
    """Whether a product is lax's, since its operands or its result are of other types.

    Args:
      preferred: the result's type, if one was asked for.

    Raises:
      TypeError: if it is, where `$JAX_NPU_STRICT` is 1.
    """
    dtypes = [_dtype(operand) for operand in operands]
    if preferred is not None:
        dtypes.append(np.dtype(preferred))
    others = [dtype.name for dtype in dtypes if dtype not in GEMM_DTYPES]
    if not others:
        return False
    if STRICT.choose() == "1":
        raise TypeError(
            f"jax_npu needs float32 or bfloat16 operands and result, got "
            f"{', '.join(dtype.name for dtype in dtypes)}; cast them, use "
            f'backend="xla", or unset {STRICT.name}.'
        )
    _say_once(others[0])
    return True


def _dtype(operand: Any) -> np.dtype:
    array = operand if isinstance(operand, jax.Array) else jnp.asarray(operand)
    return array.dtype


@functools.cache
def _say_once(dtype: str) -> None:
    print(
        f"jax-npu: products of {dtype} are left to XLA; the NPU multiplies float32 and "
        "bfloat16",
        file=sys.stderr,
    )
