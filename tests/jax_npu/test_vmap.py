"""`vmap` gives taller, wider or batched products, never a loop."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

from ..named_cases import named_case

ORIENTATIONS = ["mk,kn->mn", "mk,nk->mn", "km,kn->mn", "km,nk->nm", "bmk,bnk->bmn"]
SIZES = {"b": 2, "m": 5, "k": 7, "n": 3, "x": 4, "y": 6}


def random(rng, labels):
    return jnp.asarray(rng.standard_normal([SIZES[c] for c in labels]), "float32")


def insert(labels, dim, label):
    return labels if dim is None else labels[:dim] + label + labels[dim:]


def in_axes(subscripts):
    lhs, rhs = subscripts.split("->")[0].split(",")
    lhs_dims, rhs_dims = [None, *range(len(lhs) + 1)], [None, *range(len(rhs) + 1)]
    return [dims for dims in itertools.product(lhs_dims, rhs_dims) if any_mapped(dims)]


def any_mapped(dims):
    return any(dim is not None for dim in dims)


@pytest.mark.parametrize("subscripts", ORIENTATIONS)
def test_every_in_axes_is_right(backend, rng, assert_contraction, subscripts):
    inputs, out = subscripts.split("->")
    terms = {
        dims: [insert(t, dim, "x") for t, dim in zip(inputs.split(","), dims)]
        for dims in in_axes(subscripts)
    }
    operands = {dims: [random(rng, t) for t in terms[dims]] for dims in terms}

    @jax.jit
    def products(all_pairs):  # one program, since compiling takes longest
        product = functools.partial(jax_npu.einsum, subscripts)
        return [jax.vmap(product, d)(*x) for d, x in zip(terms, all_pairs)]

    results = products(list(operands.values()))
    for dims, result in zip(terms, results, strict=True):
        mapped = f"{','.join(terms[dims])}->x{out}"
        with named_case(mapped):
            assert_contraction(result, mapped, *operands[dims], backend)


@pytest.mark.parametrize("out_axes", [0, 1, 2, -1])
def test_out_axes_are_right(backend, rng, assert_contraction, out_axes):
    lhs, rhs = random(rng, "mxk"), random(rng, "nk")
    product = jax.vmap(
        lambda a, b: jax_npu.einsum("mk,nk->mn", a, b), (1, None), out_axes
    )
    out = insert("mn", out_axes % 3, "x")
    assert_contraction(product(lhs, rhs), f"mxk,nk->{out}", lhs, rhs, backend)


@pytest.mark.parametrize("inner", [(0, None), (None, 0), (1, 1), (0, 2)])
@pytest.mark.parametrize("outer", [(0, None), (None, 1), (1, 0)])
def test_nested_vmap_is_right(backend, rng, assert_contraction, inner, outer):
    terms = [insert(term, dim, "x") for term, dim in zip(("mk", "nk"), inner)]
    terms = [insert(term, dim, "y") for term, dim in zip(terms, outer)]
    lhs, rhs = (random(rng, term) for term in terms)
    product = jax.vmap(
        jax.vmap(lambda a, b: jax_npu.einsum("mk,nk->mn", a, b), inner), outer
    )
    result = jax.jit(product)(lhs, rhs)
    assert_contraction(result, f"{','.join(terms)}->yxmn", lhs, rhs, backend)


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0)])
def test_vmap_of_grad_is_the_stack_of_gradients(backend, rng, dims):
    shapes = [insert(term, dim, "x") for term, dim in zip(("mk", "kn"), dims)]
    lhs, rhs = (jnp.round(random(rng, term)) for term in shapes)

    @jax.jit
    def gradient(a, b):
        return jax.grad(lambda a, b: (jax_npu.matmul(a, b) ** 2).sum(), (0, 1))(a, b)

    stacked = jax.vmap(gradient, dims)(lhs, rhs)
    one_by_one = [
        gradient(lhs if dims[0] is None else lhs[i], rhs if dims[1] is None else rhs[i])
        for i in range(SIZES["x"])
    ]
    for actual, expected in zip(stacked, zip(*one_by_one)):
        np.testing.assert_array_equal(actual, jnp.stack(expected))


def test_grad_of_vmap_sums_over_the_shared_operand(backend, rng, assert_contraction):
    lhs, rhs, ct = random(rng, "xmk"), random(rng, "kn"), random(rng, "xmn")
    _, pullback = jax.vjp(
        lambda a, b: jax.vmap(jax_npu.matmul, (0, None))(a, b), lhs, rhs
    )
    lhs_ct, rhs_ct = pullback(ct)
    assert_contraction(lhs_ct, "xmn,kn->xmk", ct, rhs, backend)
    assert_contraction(rhs_ct, "xmk,xmn->kn", lhs, ct, backend)


def only_gemm(function, *operands):
    (row,) = jax_npu.explain(function, *operands).rows
    assert row.calls == 1
    return row.batch, row.m, row.k, row.n


def test_vmap_with_shared_rhs_is_one_taller_call(backend, rng):
    product = jax.vmap(jax_npu.matmul, (0, None))
    operands = random(rng, "xmk"), random(rng, "kn")
    assert only_gemm(product, *operands) == (1, 4 * 5, 7, 3)
    operands = random(rng, "yxmk"), random(rng, "kn")
    assert only_gemm(jax.vmap(product, (0, None)), *operands) == (1, 6 * 4 * 5, 7, 3)


def test_vmap_with_shared_lhs_is_one_wider_call(backend, rng):
    product = jax.vmap(jax_npu.matmul, (None, 0))
    assert only_gemm(product, random(rng, "mk"), random(rng, "xkn")) == (1, 5, 7, 4 * 3)


def test_vmap_over_both_operands_is_one_batched_call(backend, rng):
    product = jax.vmap(jax_npu.matmul)
    assert only_gemm(product, random(rng, "xmk"), random(rng, "xkn")) == (4, 5, 7, 3)


def test_gradient_of_a_vmapped_shared_rhs_is_one_call(backend, rng):
    def loss(rhs, lhs):
        return jax.vmap(jax_npu.matmul, (0, None))(lhs, rhs).sum()

    rows = jax_npu.explain(jax.grad(loss), random(rng, "kn"), random(rng, "xmk")).rows
    assert [(r.calls, r.batch, r.k) for r in rows if r.k == 4 * 5] == [(1, 1, 4 * 5)]


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0)])
def test_a_vmapped_product_has_no_loop_and_no_transpose(custom_call_backend, rng, dims):
    terms = [insert(term, dim, "x") for term, dim in zip(("mk", "nk"), dims)]
    product = jax.vmap(lambda a, b: jax_npu.einsum("mk,nk->mn", a, b), dims)
    jaxpr = jax.make_jaxpr(product)(*(random(rng, term) for term in terms))
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == ["xdna_gemm"]


def test_a_label_more_than_the_alphabet_has_is_right(backend, rng):
    lhs = jnp.asarray(rng.integers(-3, 4, (4, 2, *(1,) * 24, 5)), "float32")
    rhs = jnp.asarray(rng.integers(-3, 4, (5, *(1,) * 25, 3)), "float32")
    numbers = (((25,), (0,)), ((), ()))
    out = jax.vmap(lambda a: jax_npu.dot_general(a, rhs, numbers))(lhs)
    assert out.shape == (4, 2, *(1,) * 49, 3)
    np.testing.assert_array_equal(
        out.reshape(4, 2, 3), lhs.reshape(4, 2, 5) @ rhs.reshape(5, 3)
    )
