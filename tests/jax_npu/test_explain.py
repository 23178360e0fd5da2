"""`explain` lists the products that run, and how often."""

import io

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

import jax_npu

X, W = jnp.ones((6, 4)), jnp.ones((4, 4))


def sizes_and_calls(function, *operands):
    rows = jax_npu.explain(function, *operands).rows
    return {(row.batch, row.m, row.k, row.n): row.calls for row in rows}


def total_flops(function, *operands):
    rows = jax_npu.explain(function, *operands).rows
    return sum(row.flops * row.calls for row in rows)


def test_a_product_is_one_call_of_its_size_types_and_backend(backend):
    (row,) = jax_npu.explain(jax_npu.matmul, X, W.astype("bfloat16")).rows
    assert (row.batch, row.m, row.k, row.n, row.calls) == (1, 6, 4, 4, 1)
    assert (row.lhs, row.rhs, row.out) == ("float32", "bfloat16", "float32")
    assert row.flops == 2 * 6 * 4 * 4
    assert (row.share, row.backend) == (1.0, backend)


def test_equal_products_are_one_row_and_others_their_own(backend):
    def three(x):
        return jax_npu.matmul(jax_npu.matmul(x, W), W), jax_npu.matmul(x, X.T)

    assert sizes_and_calls(three, X) == {(1, 6, 4, 4): 2, (1, 6, 4, 6): 1}


def test_a_scan_counts_every_iteration(backend):
    def step(x, _):
        return jax_npu.matmul(x, W), None

    def scan(x, length):
        return jax.lax.scan(step, x, length=length)[0]

    def nested(x):
        return jax.lax.scan(lambda x, _: (scan(x, 5), None), x, length=3)[0]

    assert sizes_and_calls(lambda x: scan(x, 7), X) == {(1, 6, 4, 4): 7}
    assert sizes_and_calls(nested, X) == {(1, 6, 4, 4): 15}
    forward = total_flops(lambda x: scan(x, 7), X)
    gradient = jax.value_and_grad(lambda x: scan(x, 7).sum())
    assert total_flops(gradient, X) == 2 * forward


def test_nested_jit_and_checkpoint_are_looked_into(backend):
    inner = jax.jit(lambda x: jax_npu.matmul(x, W))
    assert sizes_and_calls(jax.jit(lambda x: inner(inner(x))), X) == {(1, 6, 4, 4): 2}
    remat = jax.checkpoint(lambda x: jnp.tanh(jax_npu.matmul(x, W)))
    assert sizes_and_calls(remat, X) == {(1, 6, 4, 4): 1}


def test_cond_and_while_loop_count_as_documented(backend):
    def loop(x):
        return jax.lax.while_loop(
            lambda x: x.sum() < 1e3, lambda x: jax_npu.matmul(x, W), x
        )

    def branch(x):
        return jax.lax.cond(x.sum() > 0, lambda x: jax_npu.matmul(x, W), lambda x: x, x)

    assert sizes_and_calls(loop, X) == {(1, 6, 4, 4): 1}
    assert sizes_and_calls(branch, X) == {(1, 6, 4, 4): 1}


def test_a_gradient_is_three_times_the_work(backend):
    def loss(w, x):
        return jax_npu.matmul(x, w).sum()

    forward = total_flops(loss, W, X)
    value_and_grad = jax.value_and_grad(loss, (0, 1))
    assert total_flops(value_and_grad, W, X) == 3 * forward
    # The gradient of a sum does not need the sum.
    assert total_flops(jax.grad(loss, (0, 1)), W, X) == 2 * forward


def test_shares_sum_to_one_and_fall(backend):
    def network(x):
        return jax_npu.matmul(jax_npu.matmul(x, W), jnp.ones((4, 9))) @ jnp.ones((9, 2))

    shares = [row.share for row in jax_npu.explain(network, X).rows]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)


def test_stock_products_are_listed_as_xla(custom_call_backend):
    rows = jax_npu.explain(lambda x: jax_npu.matmul(x, W) @ jnp.ones((4, 9)), X).rows
    assert {row.n: row.backend for row in rows} == {4: custom_call_backend, 9: "xla"}


def test_rows_are_the_custom_calls_of_the_compiled_program(custom_call_backend):
    def loss(w, x):
        hidden = jnp.tanh(jax_npu.matmul(x, w[0]))
        return (jax_npu.matmul(hidden, w[1]) ** 2).sum()

    gradient = jax.value_and_grad(loss)
    arguments = (jnp.ones((4, 7)), jnp.ones((7, 5))), X
    hlo = jax.jit(gradient).lower(*arguments).compile().as_text()
    num_calls = sum(row.calls for row in jax_npu.explain(gradient, *arguments).rows)
    target = f'custom_call_target="xdna_gemm_{custom_call_backend}"'
    assert num_calls == hlo.count(target)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.checkpoint])
def test_products_whose_result_is_not_used_do_not_count(custom_call_backend, wrap):
    def loss(x, w):
        hidden = jnp.tanh(jax_npu.matmul(x, w[0]))
        return (jax_npu.matmul(hidden, w[1]) ** 2).sum()

    def gradient_of_last(x, w):
        return jax.value_and_grad(wrap(loss), 1)(x, w)[1][1]

    arguments = X, (jnp.ones((4, 7)), jnp.ones((7, 5)))
    rows = jax_npu.explain(gradient_of_last, *arguments).rows
    hlo = jax.jit(gradient_of_last).lower(*arguments).compile().as_text()
    target = f'custom_call_target="xdna_gemm_{custom_call_backend}"'
    assert sum(row.calls for row in rows) == hlo.count(target)
    unused = lambda x: (jax_npu.matmul(x, W), x)[1]  # noqa: E731
    assert jax_npu.explain(unused, X).rows == ()


def test_shapes_without_data_and_keyword_arguments_are_enough(backend):
    x = jax.ShapeDtypeStruct((5000, 70000), "bfloat16")
    w = jax.ShapeDtypeStruct((70000, 3), "bfloat16")
    (row,) = jax_npu.explain(lambda x, *, w: jax_npu.matmul(x, w), x, w=w).rows
    assert row.flops == 2 * 5000 * 70000 * 3


def test_a_function_without_products_has_no_rows_and_an_empty_one_no_share(backend):
    nothing = jax_npu.explain(jnp.tanh, X)
    assert nothing.rows == ()
    assert str(nothing) == "Products of one call: none"
    (row,) = jax_npu.explain(jax_npu.matmul, X, jnp.ones((4, 0))).rows
    assert row.share == 0


def test_it_prints_sizes_calls_share_types_and_backend(backend):
    console = Console(file=io.StringIO(), width=120)
    console.print(
        jax_npu.explain(jax_npu.matmul, jnp.ones((1234, 567)), jnp.ones((567, 89)))
    )
    text = console.file.getvalue()
    for word in (
        "1,234",
        "567",
        "89",
        "100.0%",
        "f32 x f32 -> f32",
        backend,
    ):
        assert word in text


def test_what_stays_with_lax_is_listed_with_its_reason(custom_call_backend):
    def program(x, image):
        kernel = jnp.ones((3, 3, 4, 8))
        numbers = ("NHWC", "HWIO", "NHWC")
        convolved = jax.lax.conv_general_dilated(
            image, kernel, (1, 1), "SAME", dimension_numbers=numbers
        )
        half = x.astype(jnp.float16)
        return convolved, half @ half.T, x @ x.T

    image = jnp.ones((2, 10, 10, 4))
    explanation = jax_npu.explain(jax_npu.offload(program), X, image)
    found = {(row.m, row.k, row.n, row.backend, row.reason) for row in explanation.rows}
    assert found == {
        (200, 36, 8, "xla", "convolution"),
        (6, 4, 6, "xla", "dtype float16"),
        (6, 4, 6, custom_call_backend, ""),
    }
    offloaded = 2 * 6 * 4 * 6
    total = 2 * offloaded + 2 * 200 * 36 * 8
    assert explanation.offloaded == pytest.approx(offloaded / total)
    printed = io.StringIO()
    Console(file=printed, width=140).print(explanation)
    assert "convolution" in printed.getvalue()
    stock = jax_npu.explain(program, X, image)
    assert {row.reason for row in stock.rows} == {"convolution", "not offloaded"}


def test_print_shows_the_table_that_rich_shows():
    found = jax_npu.explain(lambda a, b: a @ b, jnp.ones((3, 4)), jnp.ones((4, 5)))
    console = Console(width=80)
    with console.capture() as shown:
        console.print(found)
    lines = shown.get().split("\n")
    assert str(found).split("\n") == [line.rstrip() for line in lines[:-1]]
    assert "3 x 4 x 5" in str(found)
    assert lines[0] == "Products of one call, 0.0% of FLOPs offloaded"  # one line
