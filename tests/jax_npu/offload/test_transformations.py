"""Unmodified programs under every transformation of jax: their products, results."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

import jax_npu

from .programs import (
    BF16_TOLERANCE,
    compiled_text,
    num_calls,
    num_dots,
    relative_error,
)

M, K, N = 6, 5, 4


def dense(w, x):
    return jnp.tanh(x @ w)


def two_layers(w, x):
    return dense(w, dense(w @ w.T, x))


def attention(w, x):
    heads = x.reshape(3, 2, K)
    queries, keys = jnp.einsum("bsk,kn->bsn", heads, w), heads
    scores = jnp.einsum("bqn,bkd,dn->bqk", queries, keys, w)
    return jnp.einsum("bqk,bkd->qbd", jax.nn.softmax(scores), keys)


def scanned(w, x):
    def step(carry, row):
        carry = jnp.tanh(carry @ (w @ w.T) + row)
        return carry, carry @ w

    return lax.scan(step, jnp.zeros(K), x)[1]


def while_loop(w, x):
    square = w @ w.T
    step = lambda s: (s[0] + 1, s[1] @ square)  # noqa: E731
    return lax.while_loop(lambda s: s[0] < 3, step, (0, x))[1]


def branches(w, x):
    return lax.cond(x[0, 0] > 0, lambda: x @ w, lambda: (x + 1) @ w)


def switch(w, x):
    return lax.switch(1, [lambda: x @ w, lambda: 2 * (x @ w), lambda: x[:, :N]])


def mapped(w, x):
    return jax.vmap(lambda row, b: row @ w + b, in_axes=(0, None))(x, jnp.ones(N))


def mapped_both(w, x):
    return jax.vmap(jnp.outer)(x @ w, x) @ x.T


def checkpointed(w, x):
    return jax.checkpoint(lambda x: jnp.sin(jnp.sin(x @ w) @ w.T))(x)


def nested_jit(w, x):
    return jax.jit(dense)(w, jax.jit(lambda x: x @ (w @ w.T))(x))


@jax.custom_vjp
def clipped(w, x):
    return x @ w


clipped.defvjp(
    lambda w, x: (x @ w, (w, x)), lambda saved, g: (saved[1].T @ g, g @ saved[0].T)
)


def with_custom_vjp(w, x):
    return jnp.sin(clipped(w, x))


@jax.custom_jvp
def soft(w, x):
    return x @ w


@soft.defjvp
def _(primals, tangents):
    (w, x), (dw, dx) = primals, tangents
    return x @ w, dx @ w + x @ dw


def with_custom_jvp(w, x):
    return jnp.sin(soft(w, x))


def linear_solve(w, x):
    matrix = jnp.eye(K) + 0.01 * (w @ w.T)

    def solve(matvec, b):
        return lax.fori_loop(0, 8, lambda _, y: b - matvec(y) + y, b)

    return lax.custom_linear_solve(
        lambda y: y @ matrix, x[0], solve, transpose_solve=solve
    )


def sharded(w, x):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.P("x")
    return jax.shard_map(
        lambda x: dense(w, x), mesh=mesh, in_specs=spec, out_specs=spec
    )(x)


def hessian_product(w, x):
    loss = lambda w: jnp.sin(x @ w).sum()  # noqa: E731
    return jax.jvp(jax.grad(loss), (w,), (w,))[1]


def ragged(w, x):
    sizes = jnp.array([2, 4], jnp.int32)
    return lax.ragged_dot(x, jnp.stack([w, w + 1]), sizes)


def scans_in_scans(w, x):
    step = lambda x, _: (x + 0.1 * scanned(w, x) @ w.T, None)  # noqa: E731
    return lax.scan(step, x, length=2)[0]


PROGRAMS = {
    program.__name__: program
    for program in (
        *(dense, two_layers, attention, scanned, while_loop, branches, switch, mapped),
        *(mapped_both, checkpointed, nested_jit, with_custom_vjp, with_custom_jvp),
        *(linear_solve, sharded, hessian_product, ragged, scans_in_scans),
    )
}
ONLY_FORWARD = ("while_loop",)


@pytest.fixture
def operands(rng):
    return tuple(
        jnp.asarray(rng.standard_normal(shape) / 2, jnp.float32)
        for shape in ((K, N), (M, K))
    )


@pytest.fixture(params=PROGRAMS)
def program(request):
    return PROGRAMS[request.param]


def gradient(program):
    return jax.value_and_grad(lambda *operands: (program(*operands) ** 2).sum(), (0, 1))


@pytest.fixture(params=["forward", "gradient"])
def transformed(request, program):
    if request.param == "forward":
        return program
    if program.__name__ in ONLY_FORWARD:
        return lambda *operands: jax.jvp(program, operands, operands)[1]
    return gradient(program)


def test_every_product_is_a_custom_call_and_results_are_those_of_lax(
    custom_call_backend, transformed, operands
):
    offloaded = jax.jit(jax_npu.offload(transformed)).lower(*operands).compile()
    assert num_dots(offloaded.as_text()) == 0
    assert num_calls(offloaded.as_text()) > 0
    expected = jax.jit(transformed)(*operands)
    assert relative_error(offloaded(*operands), expected) < BF16_TOLERANCE


def test_with_highest_precision_results_are_f32(custom_call_backend, program, operands):
    offloaded = jax_npu.offload(program, precision="highest")
    with jax.default_matmul_precision("highest"):
        expected = jax.jit(program)(*operands)
    assert relative_error(jax.jit(offloaded)(*operands), expected) < 1e-5


@pytest.mark.parametrize(
    "order",
    [
        lambda f: jax.jit(jax_npu.offload(gradient(f))),
        lambda f: jax.jit(gradient(jax_npu.offload(f))),
        lambda f: jax_npu.offload(jax.jit(gradient(f))),
        lambda f: gradient(jax_npu.offload(jax.jit(f))),
        lambda f: jax.jit(gradient(jax.jit(jax_npu.offload(f)))),
    ],
    ids=["around grad", "inside grad", "around jit", "eager grad", "between jits"],
)
def test_offload_stands_before_or_after_grad_and_jit(
    custom_call_backend, order, operands
):
    stock = jax.jit(gradient(attention)).lower(*operands).as_text()
    before = jax_npu.counters().calls
    out = jax.block_until_ready(order(attention)(*operands))
    calls = jax_npu.counters().calls - before
    assert calls == stock.count("stablehlo.dot_general")
    assert relative_error(out, gradient(attention)(*operands)) < BF16_TOLERANCE


def test_offload_stands_before_or_after_vmap(custom_call_backend, operands):
    w, x = operands
    each = jnp.stack([x, x + 1, x - 1])
    inside = jax.vmap(jax_npu.offload(dense), in_axes=(None, 0))
    outside = jax_npu.offload(jax.vmap(dense, in_axes=(None, 0)))
    for program in (inside, outside):
        assert num_dots(compiled_text(program, w, each)) == 0
        expected = jax.vmap(dense, in_axes=(None, 0))(w, each)
        assert relative_error(program(w, each), expected) < BF16_TOLERANCE


def test_no_transposed_copy_is_left_in_a_step(custom_call_backend, operands):
    text = compiled_text(jax_npu.offload(gradient(attention)), *operands)
    assert " transpose(" not in text


def test_a_product_that_is_also_read_transposed_is_computed_once(
    custom_call_backend, operands
):
    def program(w, x):
        product = x @ w
        return product.T * 2, product + 1, product.T + 3

    text = compiled_text(jax_npu.offload(program), *operands)
    assert num_calls(text) == 1
    out = jax.jit(jax_npu.offload(program))(*operands)
    assert relative_error(out, program(*operands)) < BF16_TOLERANCE


def test_a_product_that_another_reads_before_it_is_transposed_is_computed_once(
    custom_call_backend, operands
):
    def program(w, x):
        product = x @ w
        return product @ w.T, product.T @ product, product.T

    text = compiled_text(jax_npu.offload(program), *operands)
    assert num_calls(text) == 3
    out = jax.jit(jax_npu.offload(program))(*operands)
    assert relative_error(out, program(*operands)) < BF16_TOLERANCE


def test_what_is_traced_is_stock(custom_call_backend, operands):
    stock = jax.make_jaxpr(gradient(attention))(*operands)
    offloaded = jax.make_jaxpr(jax_npu.offload(gradient(attention)))(*operands)
    assert str(stock) == str(offloaded)


def test_a_policy_of_jax_saves_offloaded_products(custom_call_backend, operands):
    saves = jax.checkpoint_policies.dots_saveable
    program = jax.checkpoint(two_layers, policy=saves)
    computed_again = jax.checkpoint(two_layers)
    calls = [
        jax.jit(jax_npu.offload(gradient(f))).lower(*operands).as_text().count("@xdna")
        for f in (two_layers, program, computed_again)
    ]
    assert calls[0] == calls[1] < calls[2]


def test_second_derivatives_are_offloaded(custom_call_backend, operands):
    w, x = operands
    hessian = jax.hessian(lambda w: jnp.sin(x @ w).sum())
    assert num_dots(compiled_text(jax_npu.offload(hessian), w)) == 0
    assert relative_error(jax_npu.offload(hessian)(w), hessian(w)) < BF16_TOLERANCE


def test_leaving_the_context_ends_offloading(custom_call_backend, operands):
    function = jax.jit(dense)
    with jax_npu.offload():
        inside = function.lower(*operands).compile().as_text()
    outside = function.lower(*operands).compile().as_text()
    assert (num_calls(inside), num_calls(outside)) == (1, 0)
    with jax_npu.offload(), jax_npu.offload(backend="xla"):
        assert num_calls(function.lower(*operands).compile().as_text()) == 0


def test_a_backend_context_moves_offloaded_products(operands):
    with jax_npu.offload(backend="host"), jax_npu.backend("sim"):
        text = compiled_text(dense, *operands)
    assert 'custom_call_target="xdna_gemm_sim"' in text


def test_other_platforms_get_stock_products(custom_call_backend, operands):
    traced = jax.jit(jax_npu.offload(dense)).trace(*operands)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    assert "stablehlo.dot_general" in text
    assert "xdna_gemm" not in text


def test_exported_programs_for_two_platforms_hold_both(custom_call_backend, operands):
    exported = jax.export.export(
        jax.jit(jax_npu.offload(gradient(attention))), platforms=("cpu", "tpu")
    )(*operands)
    out = exported.call(*operands)
    assert relative_error(out, gradient(attention)(*operands)) < BF16_TOLERANCE


@pytest.mark.parametrize("name", ["called", "offloaded", "offloaded, 1 x 1"])
def test_the_product_of_a_reducer_stays_with_xla(custom_call_backend, name):
    multiply = {
        "called": lambda a, b: jax_npu.einsum(",->", a, b),
        "offloaded": jnp.dot,
        "offloaded, 1 x 1": lambda a, b: (a[None, None] @ b[None, None])[0, 0],
    }[name]
    x = jnp.arange(1.0, 6.0)
    reduced = jax_npu.offload(lambda x: jax.lax.reduce(x, 1.0, multiply, (0,)))
    assert jax.jit(reduced)(x) == 120


def test_metadata_of_a_transposed_product_stays(custom_call_backend):
    def program(a, b):
        with set_xla_metadata(note="mine"):
            product = a @ b
        return product.T

    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    text = jax.jit(jax_npu.offload(program)).lower(a, b).as_text("hlo")
    (call,) = [line for line in text.splitlines() if "xdna_gemm" in line]
    assert 'note="mine"' in call


@pytest.mark.parametrize("dtype", ["float16", "int32", "bool", "complex64"])
def test_other_dtypes_stay_with_lax(custom_call_backend, rng, dtype):
    a, b = (jnp.asarray(rng.integers(-3, 4, (5, 5)), dtype) for _ in range(2))
    np.testing.assert_array_equal(jax_npu.offload(jnp.matmul)(a, b), a @ b)


def test_random_keys_are_not_touched(custom_call_backend):
    draw = functools.partial(jax.random.normal, shape=(4, 4))
    key = jax.random.key(0)
    np.testing.assert_array_equal(jax_npu.offload(draw)(key), draw(key))
