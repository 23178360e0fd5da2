"""Programs for any size: the host's call reads sizes when it runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jax_npu

F32 = jnp.float32


def exported(function, backend, *shapes):
    """`function` as a program whose sizes are the names in `shapes`."""
    scope = export.SymbolicScope()
    arguments = [
        jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), F32)
        for shape in shapes
    ]
    with jax_npu.backend(backend):
        return export.export(jax.jit(function))(*arguments)


def operands(rng, *shapes):
    return [rng.integers(-4, 5, shape).astype(np.float32) for shape in shapes]


def test_one_program_multiplies_matrices_of_any_size(rng):
    program = exported(jax_npu.matmul, "host", "m, k", "k, n")
    for m, k, n in [(1, 1, 1), (8, 16, 4), (40, 1100, 530)]:
        lhs, rhs = operands(rng, (m, k), (k, n))
        np.testing.assert_array_equal(program.call(lhs, rhs), lhs @ rhs)


def test_dimensions_merge_as_their_sizes_allow(rng):
    program = exported(
        lambda x, y: jax_npu.einsum("abk,kc->cab", x, y), "host", "a, b, k", "k, 6"
    )
    for a, b, k in [(2, 3, 4), (1, 3, 4), (2, 1, 1)]:
        x, y = operands(rng, (a, b, k), (k, 6))
        np.testing.assert_array_equal(
            program.call(x, y), np.einsum("abk,kc->cab", x, y)
        )


def test_gradients_in_a_loop_take_any_batch(rng):
    def total(w, xs):
        return jax.lax.map(lambda x: (jax_npu.matmul(x, w) ** 2).sum(), xs).sum()

    program = exported(jax.grad(total), "host", "20, 10", "3, b, 20")
    w, xs = operands(rng, (20, 10), (3, 70, 20))
    expected = sum(2 * x.T @ (x @ w) for x in xs)
    np.testing.assert_allclose(program.call(w, xs), expected, rtol=2e-2, atol=1)


@pytest.mark.parametrize("name", ["transposed", "gradient", "attention"])
def test_offloaded_products_that_are_transposed_take_any_batch(rng, name):
    def attention(x, y):
        scores = jnp.einsum("btc,bsc->bts", x[None], y.T[None])
        return jnp.einsum("bts,bsc->tbc", scores, y.T[None])

    functions = {
        "transposed": lambda x, y: (x @ y).T,
        "gradient": jax.grad(lambda x, y: ((x @ y) ** 2).sum(), (0, 1)),
        "attention": attention,
    }
    program = exported(jax_npu.offload(functions[name]), "host", "b, 4", "4, 5")
    num_calls = {"transposed": 1, "gradient": 3, "attention": 2}[name]
    assert program.mlir_module().count("@xdna_gemm_host") == num_calls
    for b in (1, 7):
        x, y = operands(rng, (b, 4), (4, 5))
        actual, expected = program.call(x, y), functions[name](x, y)
        for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
            np.testing.assert_allclose(a, e, rtol=2e-2, atol=1)


@pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)
def test_on_an_npu_they_are_an_error_that_names_the_host():
    with pytest.raises(
        NotImplementedError,
        match=r"backend sim needs sizes .* got \(m, 4\) and \(4, 4\); .* backend host$",
    ):
        exported(jax_npu.matmul, "sim", "m, 4", "4, 4")
