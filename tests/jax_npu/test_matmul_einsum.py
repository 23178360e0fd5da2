"""`matmul` and `einsum` against jax.numpy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

from ..named_cases import named_case

F32, BF16 = "float32", "bfloat16"
SIZES = {"a": 2, "b": 3, "c": 4, "d": 5, "e": 6, "i": 7, "j": 3, "k": 9}

# Operands are integers up to 3, which are exact in bf16, and their sums in f32, so that
# jax.numpy's result equals ours bit for bit, whatever the order of summation.


def integers(rng, shape, dtype=F32):
    return jnp.asarray(rng.integers(-3, 4, shape), dtype)


def assert_same(actual, expected):
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(actual, expected)


def assert_same_by_name(actual, expected):
    """The same of every leaf of two dictionaries."""
    assert actual.keys() == expected.keys()
    for name in expected:
        pairs = zip(*map(jax.tree.leaves, (actual[name], expected[name])), strict=True)
        for one, other in pairs:
            with named_case(name):
                assert_same(one, other)


def in_one_program(function, operands):
    """What `function(name, *operands)` is for each name; a program for all of them.

    Compiling a program of many small products takes little longer than one of one.
    """
    names = list(operands)

    @jax.jit
    def program(all_operands):
        return [function(name, *x) for name, x in zip(names, all_operands)]

    return dict(zip(names, program(list(operands.values()))))


def primitives(function, *operands):
    return [eqn.primitive.name for eqn in jax.make_jaxpr(function)(*operands).eqns]


MATMUL_SHAPES = [
    ((4,), (4,)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((3, 4), (4, 5)),
    ((4,), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (1, 4, 5)),
    ((1, 3, 4), (1, 4, 5)),
    ((1, 3, 4), (4, 5)),
    ((6, 2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (6, 2, 4, 5)),
    ((6, 1, 3, 4), (1, 2, 4, 5)),
    ((1, 2, 3, 4), (6, 1, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)),
    ((4,), (6, 2, 4, 5)),
    ((0, 3, 4), (1, 4, 5)),
    ((2, 3, 0), (2, 0, 5)),
    ((1, 1), (1, 1)),
]


def test_matmul_broadcasts_as_jax_numpy(backend, rng):
    operands = {(a, b): (integers(rng, a), integers(rng, b)) for a, b in MATMUL_SHAPES}

    def products(library):
        return in_one_program(lambda _, a, b: library.matmul(a, b), operands)

    assert_same_by_name(products(jax_npu), products(jnp))


@pytest.mark.parametrize("preferred", [None, F32, BF16])
def test_result_types_are_those_of_jax_numpy(backend, rng, preferred):
    operands = {
        (lhs, rhs): (integers(rng, (3, 4), lhs), integers(rng, (4, 5), rhs))
        for lhs in (F32, BF16)
        for rhs in (F32, BF16)
    }
    options = {"preferred_element_type": preferred}

    def products(library):
        def of_pair(_, a, b):
            texts = "ij,jk->ik", "ij,jk->ki", "ij,jk"
            einsums = [library.einsum(text, a, b, **options) for text in texts]
            return library.matmul(a, b, **options), *einsums

        return in_one_program(of_pair, operands)

    assert_same_by_name(products(jax_npu), products(jnp))


@pytest.mark.parametrize(
    ("a", "b", "sizes"),
    [
        ((2, 3, 4), (4, 5), (1, 6, 4, 5)),
        ((6, 2, 3, 4), (4, 5), (1, 36, 4, 5)),
        ((2, 3, 4), (1, 4, 5), (1, 6, 4, 5)),
        ((3, 4), (2, 4, 5), (1, 3, 4, 10)),
        ((6, 2, 3, 4), (2, 4, 5), (2, 18, 4, 5)),
        ((2, 3, 4), (2, 4, 5), (2, 3, 4, 5)),
    ],
    ids=str,
)
def test_a_broadcast_batch_makes_one_taller_product(custom_call_backend, a, b, sizes):
    (row,) = jax_npu.explain(jax_npu.matmul, jnp.ones(a), jnp.ones(b)).rows
    assert (row.calls, row.batch, row.m, row.k, row.n) == (1, *sizes)


EINSUMS = [
    "ij,jk->ik",
    "ij,jk->ki",
    "ij,jk",
    "ji,jk",
    "ij,kj->ik",
    "ji,kj->ki",
    "aij,ajk->aik",
    "aij,ajk->kia",
    "aij,ajk->iak",
    "iaj,jka->kai",
    "abij,bajk->abik",
    "abij,bajk->kbai",
    "abcd,cdbe->eab",
    "abc,bcd->ad",
    "abc,cbd->da",
    "abc,abc->",
    "abc,cab->b",
    "abc,abc->cb",
    "i,j->ij",
    "i,j->ji",
    "i,i->",
    "i,i",
    "ab,cd->cbad",
    " i j , j k -> k i ",
    "...ij,...jk->...ik",
    "...ij,jk->...ik",
    "...ij,jk",
    "i...,...i->...",
    "b...d,d...c->b...c",
    "ij,jk->k",  # a sum over one label
    "ij,jk->",
    "ij,kj->j",
    "ii,ij->ij",  # repeated labels
    "ij,jj->i",
    "ij,ij->ij",  # no sum at all
    "ij,ij->ji",
]


def operands_of(rng, subscripts):
    """Integers with the shapes that the labels ask for."""
    for term in subscripts.replace(" ", "").split("->")[0].split(","):
        before, dots, after = term.partition("...")
        ellipsis = (2, 3) if dots else ()
        shape = *(SIZES[c] for c in before), *ellipsis, *(SIZES[c] for c in after)
        yield integers(rng, shape)


def test_einsum_of_two_operands_is_that_of_jax_numpy(backend, rng):
    operands = {text: tuple(operands_of(rng, text)) for text in EINSUMS}
    actual = in_one_program(jax_npu.einsum, operands)
    assert_same_by_name(actual, in_one_program(jnp.einsum, operands))


def test_einsum_of_three_operands_is_that_of_jax_numpy(backend, rng):
    # Ones and zeros, so that the first product's result is exact in bf16 too.
    operands = {
        text: tuple(jnp.abs(x).clip(0, 1) for x in operands_of(rng, text))
        for text in (
            "ab,bc,cd->ad",
            "ab,bc,cd->da",
            "ab,cb,dc",
            "abi,bc,cd->adi",
            "a,b,c->cba",
        )
    }
    actual = in_one_program(jax_npu.einsum, operands)
    assert_same_by_name(actual, in_one_program(jnp.einsum, operands))


def test_einsum_of_one_operand_is_that_of_jax_numpy(backend, rng):
    x = integers(rng, (4, 4))
    for subscripts in ("ij->ji", "ii", "ii->i", "ij->"):
        assert_same(jax_npu.einsum(subscripts, x), jnp.einsum(subscripts, x))


def test_einsum_with_lists_of_labels_is_that_of_jax_numpy(backend, rng):
    a, b = integers(rng, (3, 4)), integers(rng, (4, 5))
    labels = (a, [0, 1], b, [1, 2], [2, 0])
    assert_same(jax_npu.einsum(*labels), jnp.einsum(*labels))


@pytest.mark.parametrize(
    "shapes", [((1, 4), (3, 4)), ((3, 1), (3, 4)), ((1, 1), (3, 4))]
)
def test_einsum_broadcasts_size_one_as_jax_numpy(backend, rng, shapes):
    a, b = (integers(rng, shape) for shape in shapes)
    for subscripts in ("ij,ij->i", "ij,ij->ij", "ij,ij->", "ij,kj->ik"):
        try:
            expected = jnp.einsum(subscripts, a, b)
        except (TypeError, ValueError) as error:
            with pytest.raises(type(error)):
                jax_npu.einsum(subscripts, a, b)
        else:
            assert_same(jax_npu.einsum(subscripts, a, b), expected)


@pytest.mark.parametrize("name", ["matmul", "einsum"])
def test_numpy_operands_and_lists_are_taken_as_jax_numpy_takes_them(backend, name):
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    arguments = (a, b) if name == "matmul" else ("ij,jk->ki", a, b)
    assert_same(getattr(jax_npu, name)(*arguments), getattr(jnp, name)(*arguments))


@pytest.mark.parametrize(
    "subscripts", ["ij,jk->ki", "aij,ajk->kia", "bij,ijc->cb", "abij,bajk->ibka"]
)
def test_a_permuted_result_is_one_gemm_without_a_transpose(
    custom_call_backend, subscripts
):
    inputs = subscripts.split("->")[0].split(",")
    operands = [jnp.ones([SIZES[c] for c in term]) for term in inputs]

    def product(*operands):
        return jax_npu.einsum(subscripts, *operands)

    assert primitives(product, *operands) == ["xdna_gemm"]


@pytest.mark.parametrize(
    "subscripts", ["...ij,...jk->...ik", "ab,bc,cd->ad", "ij,jk->k"]
)
def test_einsums_beyond_one_product_still_run_on_the_backend(
    custom_call_backend, subscripts
):
    terms = subscripts.replace("...", "").split("->")[0].split(",")
    operands = [jnp.ones([SIZES[c] for c in term]) for term in terms]

    def product(*operands):
        return jax_npu.einsum(subscripts, *operands)

    rows = jax_npu.explain(product, *operands).rows
    assert {row.backend for row in rows} == {custom_call_backend}


def test_einsum_changes_backend_with_the_context(rng):
    a, b, c = (integers(rng, (3, 3)) for _ in range(3))

    def chain(*operands):
        return jax_npu.einsum("ab,bc,cd->ad", *operands)

    for name in ("host", "xla", "host"):
        with jax_npu.backend(name):
            rows = jax_npu.explain(chain, a, b, c).rows
        assert {row.backend for row in rows} == {name}


def test_gradient_of_einsum_is_that_of_jax_numpy(backend, rng):
    a, b = integers(rng, (2, 7, 3)), integers(rng, (9, 2, 3))

    def gradient(einsum):
        return jax.grad(lambda a, b: einsum("aij,kaj->kia", a, b)[0].sum(), (0, 1))(
            a, b
        )

    for actual, expected in zip(gradient(jax_npu.einsum), gradient(jnp.einsum)):
        assert_same(actual, expected)


def test_matmul_takes_more_batch_dimensions_than_the_alphabet_has(backend, rng):
    lhs, rhs = rng.integers(-3, 4, (2, 3, 5)), rng.integers(-3, 4, (2, 5, 4))
    ones = (1,) * 55
    out = jax_npu.matmul(
        jnp.asarray(lhs, "float32").reshape(2, *ones, 3, 5),
        jnp.asarray(rhs, "float32").reshape(2, *ones, 5, 4),
    )
    np.testing.assert_array_equal(out, (lhs @ rhs).reshape(2, *ones, 3, 4))
