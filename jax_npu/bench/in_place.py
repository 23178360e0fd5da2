"""Calls of a product that write the memory of the call before.

So no fresh memory is timed, which the kernel clears page by page.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

Product = Callable[[jax.Array, jax.Array], jax.Array]


def in_place(product: Product, lhs: jax.Array, rhs: jax.Array) -> Callable[[], None]:
    """A jitted call that ends when the product is computed; it ran once."""

    def into(_: jax.Array, lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return product(lhs, rhs)

    jitted = jax.jit(into, donate_argnums=0, keep_unused=True)
    shape = jax.eval_shape(product, lhs, rhs)
    out = jnp.zeros(shape.shape, shape.dtype)

    def call() -> None:
        nonlocal out
        out = jitted(out, lhs, rhs)
        out.block_until_ready()

    call()
    return call


def warm_up(call: Callable[[], None], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        call()


def seconds_per_call(call: Callable[[], None], num_calls: int) -> float:
    start = time.perf_counter()
    for _ in range(num_calls):
        call()
    return (time.perf_counter() - start) / num_calls
