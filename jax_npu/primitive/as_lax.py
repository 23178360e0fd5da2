"""The primitive in terms of lax, for other platforms and for tools of jax."""

from typing import Any

import jax
from jax import lax
from jax.typing import DTypeLike

from jax_npu.contraction import Spec
from jax_npu.lowering.ordered_dot import ordered_dot

_PRECISIONS = {1: None, 3: lax.Precision.HIGH}  # of a number of passes; others: HIGHEST


def product_of_lax(
    lhs: jax.Array,
    rhs: jax.Array,
    *,
    spec: Spec,
    out_dtype: DTypeLike,
    passes: int,
    **_: Any,
) -> jax.Array:
    """The contraction `spec` by `lax.dot_general`, at least as precise."""
    return ordered_dot(
        lhs,
        rhs,
        spec,
        precision=_PRECISIONS.get(passes, lax.Precision.HIGHEST),
        preferred_element_type=out_dtype,
    )
