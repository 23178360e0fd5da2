"""Derivatives of every order and mode.

Data are small integers, for which every product, sum and rounding to bf16 is exact, so
that a derivative equals that of `lax.dot_general` bit for bit on every backend.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

import jax_npu

from ..named_cases import named_case

F32, BF16 = "float32", "bfloat16"
CONTRACTIONS = {  # dimension numbers, shapes
    "mk,kn": ((((1,), (0,)), ((), ())), (3, 4), (4, 5)),
    "mk,nk": ((((1,), (1,)), ((), ())), (3, 4), (5, 4)),
    "km,kn": ((((0,), (0,)), ((), ())), (4, 3), (4, 5)),
    "km,nk": ((((0,), (1,)), ((), ())), (4, 3), (5, 4)),
    "bmk,nbk": ((((2,), (2,)), ((0,), (1,))), (2, 3, 4), (5, 2, 4)),
    "mcbk,kbnc": ((((3,), (0,)), ((1, 2), (3, 1))), (3, 2, 2, 4), (4, 2, 5, 2)),
    "mkl,lnk": ((((1, 2), (2, 0)), ((), ())), (3, 4, 2), (2, 5, 4)),
    "k,k": ((((0,), (0,)), ((), ())), (4,), (4,)),
    "m,n": ((((), ()), ((), ())), (4,), (5,)),
}
OURS, STOCK = 0, 1  # of `ours_and_stock`
every_contraction = pytest.mark.parametrize("contraction", CONTRACTIONS)

# Central differences with step h have an error of h² times a second derivative (some
# 10), and one of 1 / h times the rounding of operands to f32. With operands rounded to
# bf16, 2^16 times as coarse, the second error would be too large.
DIFFERENCES = {"order": 2, "eps": 1 / 64, "atol": 0.02, "rtol": 0.01}

# Under jit, tanh's derivative is fused, which changes each of up to 33 terms by some
# ulps of f32.
FUSED_TANH_ERROR = 1e-5


def integers(rng, *shapes, dtype=F32, largest=2):
    return [
        jnp.asarray(rng.integers(-largest, largest + 1, shape), dtype)
        for shape in shapes
    ]


def ours_and_stock(contraction, **options):
    numbers, *_ = CONTRACTIONS[contraction]

    def product(dot, lhs, rhs):
        return dot(lhs, rhs, numbers, **options)

    return [
        functools.partial(product, d) for d in (jax_npu.dot_general, lax.dot_general)
    ]


def assert_same(actual, expected):
    """Checks that two trees have the same structure, types and values."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
        assert (a.shape, a.dtype) == (e.shape, e.dtype)
        np.testing.assert_array_equal(a, e)


def assert_same_by_name(actual, expected):
    """The same of two dictionaries, item by item."""
    assert actual.keys() == expected.keys()
    for name in expected:
        with named_case(name):
            assert_same(actual[name], expected[name])


def loss(product):
    """A scalar function whose second derivative depends on both operands."""
    return lambda lhs, rhs: (product(lhs, rhs) ** 2).sum()


@every_contraction
@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_derivatives_to_order_two_agree_with_differences(
    backend, rng, contraction, mode
):
    ours, _ = ours_and_stock(contraction, precision="highest")
    operands = integers(rng, *CONTRACTIONS[contraction][1:])
    check_grads(ours, operands, modes=[mode], **DIFFERENCES)


def jvp(product):
    return lambda lhs, rhs: jax.jvp(product, (lhs, rhs), (lhs + 1, 2 * rhs))


def vjp(product):
    def pull(lhs, rhs):
        out, pullback = jax.vjp(product, lhs, rhs)
        return pullback(out)

    return pull


def linearized(product):
    def push(lhs, rhs):
        out, pushforward = jax.linearize(product, lhs, rhs)
        return out, pushforward(lhs - 1, rhs + 2)

    return push


def transposed(product):
    def pull(lhs, rhs):
        ct = product(lhs, rhs)
        to_lhs = jax.linear_transpose(lambda x: product(x, rhs), lhs)
        to_rhs = jax.linear_transpose(lambda x: product(lhs, x), rhs)
        return to_lhs(ct), to_rhs(ct)

    return pull


def hessian_vector(product):
    gradient = jax.grad(loss(product), (0, 1))
    return lambda lhs, rhs: jax.jvp(gradient, (lhs, rhs), (rhs.sum() * lhs, rhs))[1]


TRANSFORMS = {
    "jvp": jvp,
    "vjp": vjp,
    "linearize": linearized,
    "linear_transpose": transposed,
    "jacfwd": lambda product: jax.jacfwd(product, (0, 1)),
    "jacrev": lambda product: jax.jacrev(product, (0, 1)),
    "hessian": lambda product: jax.hessian(product, (0, 1)),
    "jacrev of jacfwd": lambda product: jax.jacrev(jax.jacfwd(product, 0), 1),
    "grad": lambda product: jax.grad(loss(product), (0, 1)),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_give_what_lax_gives(backend, rng, transform):
    labels = "mk,kn", "km,nk", "mcbk,kbnc", "mkl,lnk"
    operands = {name: integers(rng, *CONTRACTIONS[name][1:]) for name in labels}

    def of_all(which):
        functions = {
            name: TRANSFORMS[transform](ours_and_stock(name)[which]) for name in labels
        }
        program = jax.jit(lambda x: {name: functions[name](*x[name]) for name in x})
        return program(operands)

    assert_same_by_name(of_all(OURS), of_all(STOCK))


@pytest.mark.parametrize("contraction", ["bmk,nbk"])
def test_hessian_of_a_loss_is_that_of_lax(backend, rng, contraction):
    ours, stock = ours_and_stock(contraction)
    operands = integers(rng, *CONTRACTIONS[contraction][1:], largest=1)
    actual = jax.hessian(loss(ours), (0, 1))(*operands)
    assert_same(actual, jax.hessian(loss(stock), (0, 1))(*operands))
    assert_same(hessian_vector(ours)(*operands), hessian_vector(stock)(*operands))


@pytest.mark.parametrize("preferred", [None, F32, BF16])
@pytest.mark.parametrize("contraction", ["mk,nk", "mcbk,kbnc"])
def test_gradients_have_the_dtypes_of_their_operands(
    backend, rng, contraction, preferred
):
    _, *shapes = CONTRACTIONS[contraction]
    operands = {
        f"{lhs}, {rhs}": [
            *integers(rng, shapes[0], dtype=lhs),
            *integers(rng, shapes[1], dtype=rhs),
        ]
        for lhs in (F32, BF16)
        for rhs in (F32, BF16)
    }
    both = ours_and_stock(contraction, preferred_element_type=preferred)

    def derivatives(which):
        pull, push = vjp(both[which]), jvp(both[which])
        program = jax.jit(lambda x: {d: (pull(*x[d]), push(*x[d])) for d in x})
        return program(operands)

    ours = derivatives(OURS)
    for dtypes, (gradients, _) in ours.items():
        assert ", ".join(str(g.dtype) for g in gradients) == dtypes
    assert_same_by_name(ours, derivatives(STOCK))


@pytest.mark.parametrize("contraction", ["mk,kn", "mk,nk", "km,kn", "bmk,nbk"])
def test_gradients_of_random_data_are_within_accumulation_error(
    backend, rng, assert_contraction, contraction
):
    numbers, *_ = CONTRACTIONS[contraction]
    lhs_labels, rhs_labels = contraction.split(",")
    out_labels = "bmn" if "b" in lhs_labels else "mn"
    sizes = {"b": 3, "m": 70, "k": 130, "n": 33}
    lhs, rhs, ct = (
        jnp.asarray(rng.standard_normal([sizes[c] for c in labels]), F32)
        for labels in (lhs_labels, rhs_labels, out_labels)
    )
    _, pullback = jax.vjp(lambda a, b: jax_npu.dot_general(a, b, numbers), lhs, rhs)
    lhs_ct, rhs_ct = pullback(ct)
    to_lhs = f"{out_labels},{rhs_labels}->{lhs_labels}"
    to_rhs = f"{lhs_labels},{out_labels}->{rhs_labels}"
    assert_contraction(lhs_ct, to_lhs, ct, rhs, backend)
    assert_contraction(rhs_ct, to_rhs, lhs, ct, backend)


@pytest.mark.parametrize("orders", [[jax.jacfwd] * 3, [jax.jacrev] * 3, None])
def test_third_derivative_is_that_of_lax(backend, rng, orders):
    orders = orders or [jax.jacfwd, jax.jacrev, jax.jacfwd]
    (x,) = integers(rng, (3, 3), largest=1)

    def third(matmul):
        def cubic(x):
            return matmul(matmul(x, x.T), x)

        return functools.reduce(lambda f, derivative: derivative(f), orders, cubic)

    assert_same(jax.jit(third(jax_npu.matmul))(x), jax.jit(third(jnp.matmul))(x))


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev, jax.hessian])
def test_both_operands_may_be_one_array(backend, rng, mode):
    (x,) = integers(rng, (4, 4))
    for ours, stock in (
        (lambda x: jax_npu.matmul(x, x), lambda x: jnp.matmul(x, x)),
        (lambda x: jax_npu.matmul(x, x.T), lambda x: jnp.matmul(x, x.T)),
    ):
        assert_same(mode(ours)(x), mode(stock)(x))


def test_a_gradient_with_k_zero_or_an_empty_dimension_is_zeros(backend):
    for m, k, n in ((3, 0, 4), (0, 3, 4), (3, 4, 0)):
        lhs, rhs = jnp.ones((m, k)), jnp.ones((k, n))
        gradients = jax.grad(lambda a, b: jax_npu.matmul(a, b).sum(), (0, 1))(lhs, rhs)
        assert_same(gradients, (n * jnp.ones((m, k)), m * jnp.ones((k, n))))


def recurrence(matmul):
    def final(state, weight):
        def step(state, _):
            state = matmul(state, weight)
            return state, state.sum()

        return lax.scan(step, state, length=3)

    return final


def test_scan_and_its_derivatives_are_those_of_lax(backend, rng):
    state, weight = integers(rng, (3, 4), (4, 4), largest=1)
    ours, stock = recurrence(jax_npu.matmul), recurrence(jnp.matmul)
    assert_same(ours(state, weight), stock(state, weight))
    assert_same(vjp(ours)(state, weight), vjp(stock)(state, weight))
    assert_same(jvp(ours)(state, weight), jvp(stock)(state, weight))
    assert_same(
        jax.jit(jax.jacfwd(jax.jacrev(lambda w: ours(state, w)[0])))(weight),
        jax.jit(jax.jacfwd(jax.jacrev(lambda w: stock(state, w)[0])))(weight),
    )


@pytest.mark.parametrize(
    "policy",
    [
        None,
        "everything_saveable",
        "nothing_saveable",
        "dots_saveable",
        "dots_with_no_batch_dims_saveable",
    ],
)
def test_checkpoint_changes_no_gradient(backend, rng, policy):
    x, w1, w2 = integers(rng, (3, 4), (4, 5), (5, 2), largest=1)

    def network(matmul, x, w1, w2):
        return (matmul(matmul(x, w1) ** 2, w2)).sum()

    def gradient(matmul, checkpoint):
        return jax.jit(
            jax.grad(checkpoint(functools.partial(network, matmul)), (0, 1, 2))
        )

    checkpoint = functools.partial(
        jax.checkpoint, policy=policy and getattr(jax.checkpoint_policies, policy)
    )
    actual = gradient(jax_npu.matmul, checkpoint)(x, w1, w2)
    assert_same(actual, gradient(jnp.matmul, lambda f: f)(x, w1, w2))


def test_eager_and_jitted_gradients_are_equal(backend, rng):
    lhs = jnp.asarray(rng.standard_normal((17, 33)), F32)
    rhs = jnp.asarray(rng.standard_normal((33, 9)), F32)

    def loss(
        lhs, rhs
    ):  # "highest": rounding to bf16 would enlarge the differences that fusion makes
        return jnp.tanh(jax_npu.matmul(lhs, rhs, precision="highest")).sum()

    gradient = jax.grad(loss, (0, 1))
    for eager, jitted in zip(gradient(lhs, rhs), jax.jit(gradient)(lhs, rhs)):
        np.testing.assert_allclose(eager, jitted, rtol=0, atol=FUSED_TANH_ERROR)
