"""`lax.dot_general` with the result in any order."""

from typing import Any

import jax
from jax import lax

from jax_npu.contraction import Spec, dimension_numbers_from_spec


def ordered_dot(
    lhs: jax.Array, rhs: jax.Array, spec: Spec, **options: Any
) -> jax.Array:
    """The contraction `spec` by `lax.dot_general`, which takes the options."""
    product = lax.dot_general(lhs, rhs, dimension_numbers_from_spec(spec), **options)
    batch = "".join(c for c in spec.lhs if c in spec.rhs and c in spec.out)
    rows = "".join(c for c in spec.lhs if c not in spec.rhs)
    columns = "".join(c for c in spec.rhs if c not in spec.lhs)
    order = batch + rows + columns
    return lax.transpose(product, [order.index(c) for c in spec.out])
