"""The primitive in terms of lax, for other platforms and for tools of jax."""

from typing import Any

import jax
from jax import lax
from jax.typing import DTypeLike

from jax_npu.contraction import Spec, dimension_numbers_from_spec

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
    product = lax.dot_general(
        lhs,
        rhs,
        dimension_numbers_from_spec(spec),
        precision=_PRECISIONS.get(passes, lax.Precision.HIGHEST),
        preferred_element_type=out_dtype,
    )
    batch = "".join(c for c in spec.lhs if c in spec.rhs and c in spec.out)
    rows = "".join(c for c in spec.lhs if c not in spec.rhs)
    columns = "".join(c for c in spec.rhs if c not in spec.lhs)
    order = batch + rows + columns
    return lax.transpose(product, [order.index(c) for c in spec.out])
