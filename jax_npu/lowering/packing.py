"""Operands of the host GEMM that are packed once for several products."""

import ctypes

import jax
import jax.numpy as jnp

from jax_npu.contraction import Axes
from jax_npu.lowering.attributes import pack_attributes
from jax_npu.runtime import extension

TARGET = "xdna_pack_host"


def pack_constants(
    lhs: jax.Array, rhs: jax.Array, axes: Axes, constant: tuple[bool, bool]
) -> tuple[jax.Array, jax.Array]:
    """lhs and rhs, each packed where it is constant and the host GEMM takes it so."""
    batch, m, k, n = axes.sizes
    if batch != 1 or min(m, n) <= _few_rows() or k == 0:
        return lhs, rhs

    def pack(operand: jax.Array, num_rows: int, is_lhs: bool) -> jax.Array:
        extension.register(TARGET)
        packed = jax.ShapeDtypeStruct((_packed_words(num_rows, k),), jnp.uint32)
        attributes = pack_attributes(axes, is_lhs)
        return jax.ffi.ffi_call(TARGET, packed)(operand, **attributes)

    return (
        pack(lhs, m, True) if constant[0] else lhs,
        pack(rhs, n, False) if constant[1] else rhs,
    )


def _few_rows() -> int:
    """The most rows, or columns, of products that read the other operand in place."""
    function = extension.load().jax_npu_few_rows
    function.restype = ctypes.c_int64
    return int(function())


def _packed_words(num_rows: int, num_k: int) -> int:
    function = extension.load().jax_npu_packed_words
    function.restype = ctypes.c_int64
    return int(function(ctypes.c_int64(num_rows), ctypes.c_int64(num_k)))
