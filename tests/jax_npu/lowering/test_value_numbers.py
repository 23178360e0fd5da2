"""Numbers of values: one for each value of a program, another in each execution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime.environment import IMAGE_CACHE_MB

SIZE = 24

needs_sim = pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)


def dot(x, y):
    return jax_npu.matmul(x, y)


def scanned(x, w):
    def body(carry, _):
        carry = jnp.tanh(dot(carry, w))
        return carry, dot(carry, carry.T)

    return jax.lax.scan(body, x, length=3)


def looped(x, w):
    def body(i, carry):
        return jnp.tanh(dot(carry, w) + dot(w, carry) + i)

    return jax.lax.fori_loop(0, 3, body, x)


def until(x, w):
    def body(carry):
        return dot(carry, w) / 2 + dot(carry.T, carry)

    return jax.lax.while_loop(lambda c: jnp.abs(c).max() < 1e3, body, x)


def branched(x, w):
    return jax.lax.cond(x[0, 0] > 0, lambda: dot(x, w), lambda: dot(w, x)) + dot(x, x)


def batched(x, w):
    return jax.vmap(lambda row: dot(dot(w, row), w))(jnp.stack([x, w])), dot(x, w)


def loss(x, w):
    for _ in range(2):
        x = jnp.tanh(dot(x, w))
    return jnp.sum(x**2)


def recomputed(x, w):
    return jax.grad(jax.checkpoint(loss), (0, 1))(x, w)


def second_order(x, w):
    return jax.jvp(lambda w: jax.grad(loss, 1)(x, w), (w,), (x,))


def with_constants(x, w):
    constant = np.arange(SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE) % 7
    return dot(x, constant) + dot(constant, w), dot(jnp.ones_like(x), w)


def of_one_buffer(x, w):
    """XLA may compute in place: the buffer is the same, the value is not."""
    products = []
    for _ in range(3):
        x = x + 1
        products.append(dot(x, w))
    return products


PROGRAMS = [
    scanned,
    looped,
    until,
    branched,
    batched,
    recomputed,
    second_order,
    with_constants,
    of_one_buffer,
]


def matrices(seed):
    rng = np.random.default_rng(seed)
    return [jnp.float32(rng.standard_normal((SIZE, SIZE)) / 4) for _ in range(2)]


def results(program, monkeypatch, cache_mb):
    """Two executions on different operands."""
    monkeypatch.setenv(IMAGE_CACHE_MB.name, cache_mb)
    with jax_npu.backend("sim"):
        return [jax.tree.leaves(program(*matrices(seed))) for seed in (0, 1)]


@needs_sim
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("transform", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_no_product_takes_the_image_of_another_value(monkeypatch, program, transform):
    program = transform(program)
    found = results(program, monkeypatch, "512")
    expected = results(program, monkeypatch, "0")
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@needs_sim
def test_an_exported_program_numbers_anew_in_each_execution(monkeypatch):
    with jax_npu.backend("sim"):
        exported = jax.export.export(jax.jit(jax.grad(loss, (0, 1))))(*matrices(0))
    test_no_product_takes_the_image_of_another_value(
        monkeypatch, exported.call, jax.jit
    )


@needs_sim
@pytest.mark.parametrize("offloaded", [False, True])
def test_xla_merges_the_numbers_of_one_value(offloaded):
    """Three products of forward and five of backward have nine operands."""

    def deep(weights, x):
        for w in weights:
            x = jnp.tanh(jnp.matmul(x, w) if offloaded else dot(x, w))
        return x.sum()

    step = jax.value_and_grad(deep)
    if offloaded:
        step = jax_npu.offload(step, backend="sim")
    x, w = matrices(0)
    with jax_npu.backend("sim"):
        compiled = jax.jit(step).lower([w, w + 1, w + 2], x).compile().as_text()
    assert compiled.count('custom_call_target="xdna_gemm_sim"') == 8
    assert compiled.count('custom_call_target="xdna_value_number"') == 9


def test_other_backends_number_nothing():
    with jax_npu.backend("host"):
        lowered = jax.jit(jax.grad(loss)).lower(*matrices(0)).as_text()
    assert "xdna_gemm_host" in lowered
    assert "xdna_value_number" not in lowered
