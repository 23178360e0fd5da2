"""Operands of the host GEMM that are packed once for several products."""

import ctypes

import jax
import jax.numpy as jnp
import numpy as np

from jax_npu.contraction import Axes
from jax_npu.runtime import extension

TARGET = "xdna_pack_host"
# Products with fewer rows, or columns, read the other operand where it lies.
MIN_ROWS = 9


def pack_constants(
    lhs: jax.Array,
    rhs: jax.Array,
    axes: Axes,
    flat_axes: dict[str, np.ndarray],
    constant: tuple[bool, bool],
) -> tuple[jax.Array, jax.Array]:
    """The operands, with those that are constant packed where that can be done."""
    batch, m, k, n = axes.sizes
    if batch != 1 or min(m, n) < MIN_ROWS or k == 0:
        return lhs, rhs
    loops = {role: flat_axes[role] for role in ("m", "k", "n")}

    def pack(operand: jax.Array, num_rows: int, is_lhs: bool) -> jax.Array:
        extension.register(TARGET)
        packed = jax.ShapeDtypeStruct((_packed_words(num_rows, k),), jnp.uint32)
        return jax.ffi.ffi_call(TARGET, packed)(operand, **loops, is_lhs=is_lhs)

    return (
        pack(lhs, m, True) if constant[0] else lhs,
        pack(rhs, n, False) if constant[1] else rhs,
    )


def _packed_words(num_rows: int, num_k: int) -> int:
    function = extension.load().jax_npu_packed_words
    function.restype = ctypes.c_int64
    return function(ctypes.c_int64(num_rows), ctypes.c_int64(num_k))
