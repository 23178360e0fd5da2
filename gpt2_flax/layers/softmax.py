"""Softmax with a derivative that suits XLA:CPU."""

import jax
from jax import Array


@jax.custom_jvp
def softmax(scores: Array) -> Array:
    """Softmax over the last dimension, (..., S) to (..., S).

    It has its own derivative: jax.nn.softmax's divides by squared sums, for which
    XLA:CPU writes out intermediate arrays as large as the scores.
    """
    return jax.nn.softmax(scores)


@softmax.defjvp
def softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # dp = p ds - p sum(p ds), with p the weights, s the scores and the sum over S
    weights = softmax(*primals)  # (..., S)
    weighted = weights * tangents[0]
    return weights, weighted - weights * weighted.sum(axis=-1, keepdims=True)
