"""Numbers of values, by which the products of a program know that they read the same.

Forward and dX multiply by the same weight, dX and dW by the same cotangent, forward and
dW by the same activation: an NPU's driver packs each of them once. A number comes from
a call with the value as its only operand. XLA merges equal calls without side effects,
so that products of one value get one number. A product finds the numbers of its
operands in the memory of its result; see `xla_ffi/value_numbers.h` for the reason.
"""

import math

import jax
import jax.numpy as jnp

from jax_npu.runtime import extension
from jax_npu.runtime.extension import NUMBER_TARGETS

TARGET, CARRY_TARGET = NUMBER_TARGETS
WORDS = 2  # the low and the high half
CARRIED_BYTES = 2 * 8  # of both operands' numbers


def value_number(value: jax.Array) -> jax.Array:
    """The number of a value, uint32 (2,); another one in every execution."""
    extension.register(TARGET)
    number = jax.ShapeDtypeStruct((WORDS,), jnp.uint32)
    call = jax.ffi.ffi_call(TARGET, number, has_side_effect=False)
    result: jax.Array = call(value)
    return result


def numbers_of(
    lhs: jax.Array, rhs: jax.Array, result: jax.ShapeDtypeStruct
) -> list[jax.Array]:
    """What a product takes after lhs and rhs, so that it knows their numbers.

    One array that becomes its result, or, where that is too small, both numbers.
    """
    numbers = [value_number(lhs), value_number(rhs)]
    if math.prod(result.shape) * result.dtype.itemsize < CARRIED_BYTES:
        return numbers
    extension.register(CARRY_TARGET)
    carry = jax.ffi.ffi_call(CARRY_TARGET, result, has_side_effect=False)
    return [carry(*numbers)]
