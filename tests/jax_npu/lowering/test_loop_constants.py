"""Operands that a loop does not change: packed once, before it, by the host."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jax_npu

# Several chunks of k, whole and partial panels.
ROWS, K, COLUMNS = 40, 1100, 530


@pytest.fixture(autouse=True)
def on_host():
    with jax_npu.backend("host"):
        yield


@pytest.fixture
def weights(rng):
    return jnp.asarray(rng.standard_normal((K, COLUMNS)), jnp.float32)


@pytest.fixture
def batches(rng):
    def make(count):
        return jnp.asarray(rng.standard_normal((count, ROWS, K)), jnp.float32)

    return make


def loss(weights, x):
    return jnp.mean(jnp.tanh(jax_npu.matmul(x, weights)) ** 2)


def accumulated(weights, batches):
    """Gradients summed over batches."""

    def add(total, x):
        return total + jax.grad(loss)(weights, x), None

    return lax.scan(add, jnp.zeros_like(weights), batches)[0]


def packs(function, *arguments):
    """The computations of the program in which operands are packed."""
    text = jax.jit(function).lower(*arguments).compile().as_text()
    computation, found = "", []
    for line in text.splitlines():
        if line.endswith("{"):
            computation = line.split()[0]
        if re.search(r'custom_call_target="xdna_pack_host"', line):
            found.append(computation)
    return found


def packed_bytes(function, *arguments):
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    before = jax_npu.counters()
    jax.block_until_ready(compiled(*arguments))
    return (jax_npu.counters() - before).packed_bytes


def test_products_in_a_loop_are_those_outside_to_the_bit(isa, weights, batches):
    xs = batches(3)
    expected = [jax_npu.matmul(x, weights) for x in xs]
    inside = jax.jit(lambda w: lax.map(lambda x: jax_npu.matmul(x, w), xs))
    assert np.array_equal(inside(weights), np.stack(expected))
    turned = jax.jit(lambda w: lax.map(lambda x: jax_npu.matmul(w, x.T), xs))
    assert np.array_equal(turned(weights.T), np.stack(expected).mT)


def test_weights_are_packed_once_whatever_the_number_of_steps(weights, batches):
    assert packs(accumulated, weights, batches(3)) == ["ENTRY"]
    one, three, five = (
        packed_bytes(accumulated, weights, batches(count)) for count in (1, 3, 5)
    )
    activations = (five - three) // 2
    assert three - one == 2 * activations
    assert one - activations > 4 * weights.size  # read once
    assert activations < 4 * weights.size


@pytest.mark.parametrize("kind", ["fori_loop", "while_loop", "map", "grad of scan"])
def test_every_kind_of_loop_packs_before_it(kind, weights, batches):
    xs = batches(3)

    def scan(weights):
        return lax.scan(lambda sum, x: (sum + loss(weights, x), None), 0.0, xs)[0]

    functions = {
        "fori_loop": lambda w: lax.fori_loop(
            0, 3, lambda i, total: total + loss(w, xs[i]), 0.0
        ),
        "while_loop": lambda w: lax.while_loop(
            lambda total: total < 1, lambda total: total + loss(w, total + xs[0]), 0.0
        ),
        "map": lambda w: lax.map(lambda x: loss(w, x), xs),
        "grad of scan": jax.grad(scan),
    }
    found = packs(functions[kind], weights)
    assert found
    assert set(found) == {"ENTRY"}


def test_what_the_loop_changes_is_not_packed_apart(weights, batches):
    def descend(weights, xs):
        def step(weights, x):
            return weights - jax.grad(loss)(weights, x), None

        return lax.scan(step, weights, xs)[0]

    assert packs(descend, weights, batches(3)) == []


def test_a_product_of_constants_is_computed_before_the_loop(weights, batches):
    (x,) = batches(1)

    def constant(weights, x, steps):
        return lax.map(lambda i: jax_npu.matmul(x, weights) + i, steps)

    assert packs(constant, weights, x, jnp.arange(3.0)) == []
    one, three = (packed_bytes(constant, weights, x, jnp.arange(n)) for n in (1.0, 3.0))
    assert one == three


def test_without_a_loop_nothing_is_packed_apart(weights, batches):
    (x,) = batches(1)
    assert packs(lambda x: loss(weights, x), x) == []
    assert packs(jax.jit(loss), weights, x) == []


def test_few_rows_read_the_weights_where_they_lie(weights, batches):
    def decode(weights, xs):
        return lax.map(lambda x: jax_npu.matmul(x[:4], weights), xs)

    assert packs(decode, weights, batches(3)) == []


def test_a_program_with_packed_operands_is_exported(weights, batches):
    x = batches(2)
    exported = jax.export.export(jax.jit(accumulated))(weights, x)
    assert "xdna_pack_host" in exported.mlir_module()
    np.testing.assert_array_equal(
        exported.call(weights, x), jax.jit(accumulated)(weights, x)
    )
