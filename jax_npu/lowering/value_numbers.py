"""Numbers of values, by which the products of a program know that they read the same.

Forward and dX multiply by the same weight, dX and dW by the same cotangent, forward and
dW by the same activation: an NPU's driver packs each of them once. A number comes from
a call with the value as its only operand. XLA merges equal calls without side effects,
so that products of one value get one number; see `xla_ffi/value_numbers.h`.
"""

import jax
import jax.numpy as jnp

from jax_npu.runtime import extension

TARGET = "xdna_value_number"
WORDS = 2  # the low and the high half


def value_number(value: jax.Array) -> jax.Array:
    """The number of a value, uint32 (2,); another one in every execution."""
    extension.register(TARGET)
    number = jax.ShapeDtypeStruct((WORDS,), jnp.uint32)
    call = jax.ffi.ffi_call(TARGET, number, has_side_effect=False)
    result: jax.Array = call(value)
    return result
