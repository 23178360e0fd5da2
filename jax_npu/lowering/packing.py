"""Operands of the host GEMM that are packed once for several products."""

import ctypes

import jax
import jax.numpy as jnp

from jax_npu.contraction import Spec, contraction_axes
from jax_npu.lowering.attributes import pack_attributes
from jax_npu.runtime import extension

TARGET = "xdna_pack_host"


def pack_constants(
    lhs: jax.Array, rhs: jax.Array, spec: Spec, constant: tuple[bool, bool]
) -> tuple[jax.Array, jax.Array]:
    """lhs and rhs, one of them packed if it is constant and the host GEMM takes it so.

    If both are constant, so is the product: XLA moves that in front of the loop.
    """
    if constant not in ((True, False), (False, True)):
        return lhs, rhs
    batch, m, k, n = contraction_axes(spec, lhs.shape, rhs.shape).sizes
    if batch != 1 or min(m, n) <= _few_rows() or k == 0:
        return lhs, rhs

    extension.register(TARGET)
    is_lhs = constant[0]
    operand, other, num_rows = (lhs, rhs, m) if is_lhs else (rhs, lhs, n)
    result = jax.ShapeDtypeStruct((_packed_words(num_rows, k),), jnp.uint32)
    attributes = pack_attributes(spec, is_lhs, other.shape)
    packed: jax.Array = jax.ffi.ffi_call(TARGET, result)(operand, **attributes)
    return (packed, rhs) if is_lhs else (lhs, packed)


def _few_rows() -> int:
    """The most rows, or columns, of products that read the other operand in place."""
    function = extension.load().jax_npu_few_rows
    function.restype = ctypes.c_int64
    return int(function())


def _packed_words(num_rows: int, num_k: int) -> int:
    function = extension.load().jax_npu_packed_words
    function.restype = ctypes.c_int64
    return int(function(ctypes.c_int64(num_rows), ctypes.c_int64(num_k)))
