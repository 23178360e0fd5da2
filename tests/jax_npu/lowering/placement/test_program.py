"""The products of a jaxpr, and which of them waits for which."""

import jax
import jax.numpy as jnp
import pytest

import jax_npu
from jax_npu.lowering.placement.program import products_of

X, W = jnp.ones((6, 4)), jnp.ones((4, 4))


@pytest.fixture(autouse=True)
def on_sim():
    with jax_npu.backend("sim"):
        yield


def products(function, *args):
    return products_of(jax.make_jaxpr(function)(*args).jaxpr)


def dot(x, w):
    return jax_npu.matmul(x, w)


def test_a_product_waits_for_the_latest_that_it_is_computed_from():
    def diamond(x, w):
        first = dot(x, w)
        left, right = dot(jnp.tanh(first), w), dot(first, 2 * w)
        return dot(left + right + first, w), dot(x, 3 * w)

    found = products(diamond, X, W)
    after = [set(one.node.after) for one in found]
    assert after == [set(), {0}, {0}, {1, 2}, set()]


def test_dx_and_dw_wait_for_the_same_and_not_for_each_other():
    def loss(w, x):
        return jnp.sum(dot(jnp.tanh(dot(x, w[0])), w[1]) ** 2)

    found = products(jax.grad(loss), (W, W), X)
    forward, backward = found[:2], found[2:]
    assert [one.product.sizes for one in forward] == [(1, 6, 4, 4)] * 2
    (dx,) = (one for one in backward if one.product.sizes == (1, 6, 4, 4))
    of_second, of_first = (one for one in backward if one is not dx)
    if found.index(dx) in of_second.node.after:
        of_second, of_first = of_first, of_second
    assert dx.node.after == of_second.node.after == (1,)
    assert of_first.node.after == (found.index(dx),)
    # Both multiply by the same cotangent.
    assert set(dx.node.operands) & set(of_second.node.operands)


def test_functions_inside_are_seen_through_and_their_names_kept():
    inner = jax.jit(lambda x, w: dot(x, w))

    def outer(x, w):
        with jax.named_scope("outer"):
            y = inner(x, w)
        return jax.checkpoint(lambda y: dot(y, w))(y)

    first, second = products(outer, X, W)
    assert "outer" in first.names
    assert "outer" not in second.names
    assert second.node.after == (0,)
    assert first.node.operands[1] == second.node.operands[1]  # w


def test_a_transposed_value_is_the_same_value():
    first, second = products(lambda x: (dot(x.T, x), dot(x, x.T)), X)
    assert len({*first.node.operands, *second.node.operands}) == 1


def test_a_scan_repeats_its_products_and_a_condition_is_taken():
    def scan(x, w):
        return jax.lax.scan(lambda x, _: (dot(x, w), None), x, length=7)[0]

    def program(x, w):
        y = dot(scan(x, w), w)
        return jax.lax.cond(y.sum() > 0, lambda y: dot(y, w), lambda y: y, y)

    found = products(program, X, W)
    assert [one.node.times for one in found] == [7, 1, 1]
    assert [one.node.after for one in found] == [(), (0,), (1,)]


def test_passes_types_and_orders_are_the_products():
    def program(x, w):
        numbers = (((0,), (1,)), ((), ()))
        precise = jax_npu.dot_general(x, w, numbers, precision="high")
        return precise, dot(w.astype("bfloat16"), x.astype("bfloat16"))

    precise, half = (one.product for one in products(program, X, jnp.ones((8, 6))))
    assert (precise.a_order, precise.b_order) == ("km", "nk")
    assert (precise.passes, precise.a_bytes, precise.out_bytes) == (3, 4, 4)
    assert (half.passes, half.a_bytes, half.out_bytes) == (1, 2, 2)


def test_products_of_lax_count_where_they_are_offloaded():
    def program(x, w):
        return (x.astype("float16") @ w.astype("float16")), x @ w

    assert products(program, X, W) == []
    (one,) = products(jax_npu.offload(program), X, W)
    assert (one.backend, one.product.sizes) == ("sim", (1, 6, 4, 4))


def test_empty_products_are_left_out():
    assert products(dot, X, jnp.ones((4, 0))) == []
