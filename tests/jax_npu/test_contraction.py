"""The loops of a contraction, run in Python, without a device."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_npu.contraction import (
    Axis,
    Spec,
    contraction_axes,
    dimension_numbers_from_spec,
    out_shape,
    spec_from_dimension_numbers,
    spec_from_subscripts,
    unused_label,
)


def offsets(axes, stride):
    """Element offsets of every index of a group, outermost axis first."""
    indices = itertools.product(*(range(axis.size) for axis in axes))
    strides = [getattr(axis, stride) for axis in axes]
    return [sum(i * s for i, s in zip(index, strides)) for index in indices]


def run_loops(axes, lhs, rhs, shape):
    """The contraction by offset arithmetic on flat arrays, as a backend does it."""
    lhs, rhs, out = lhs.ravel(), rhs.ravel(), np.full(np.prod(shape, dtype=int), -1)
    group = {
        role: [offsets(loops, operand) for operand in ("lhs", "rhs", "out")]
        for role, loops in axes._asdict().items()
    }
    for b_lhs, b_rhs, b_out in zip(*group["batch"]):
        for m_lhs, m_rhs, m_out in zip(*group["m"]):
            for n_lhs, n_rhs, n_out in zip(*group["n"]):
                ks = zip(*group["k"])
                out[b_out + m_out + n_out] = sum(
                    lhs[b_lhs + m_lhs + n_lhs + k_lhs]
                    * rhs[b_rhs + m_rhs + n_rhs + k_rhs]
                    for k_lhs, k_rhs, _ in ks
                )
    return out.reshape(shape)


@st.composite
def contractions(draw):
    """A random spec of up to two labels for each role, with the labels' sizes."""
    roles = [draw(st.integers(0, 2), label=role) for role in ("batch", "m", "k", "n")]
    labels = iter("abcdefgh")
    batch, m, k, n = ("".join(next(labels) for _ in range(count)) for count in roles)
    spec = Spec(
        *(
            "".join(draw(st.permutations(term)))
            for term in (batch + m + k, batch + k + n, batch + m + n)
        )
    )
    sizes = {label: draw(st.integers(0, 3)) for label in batch + m + k + n}
    return spec, sizes


@settings(max_examples=300, deadline=None)
@given(contractions())
def test_the_loops_of_any_contraction_are_einsum(contraction):
    spec, sizes = contraction
    rng = np.random.default_rng(0)
    lhs, rhs = (
        rng.integers(-9, 10, [sizes[c] for c in term]) for term in (spec.lhs, spec.rhs)
    )
    shape = out_shape(spec, lhs.shape, rhs.shape)
    axes = contraction_axes(spec, lhs.shape, rhs.shape)
    expected = np.einsum(repr(spec), lhs, rhs)
    assert shape == expected.shape
    np.testing.assert_array_equal(run_loops(axes, lhs, rhs, shape), expected)


@settings(max_examples=100, deadline=None)
@given(contractions())
def test_a_spec_survives_the_way_through_dimension_numbers(contraction):
    spec, sizes = contraction
    lhs, rhs = (
        jax.ShapeDtypeStruct([sizes[c] for c in term], jnp.float32)
        for term in (spec.lhs, spec.rhs)
    )
    numbers = dimension_numbers_from_spec(spec)
    back = spec_from_dimension_numbers(numbers, lhs.ndim, rhs.ndim)
    # The same contraction, up to the names of labels and the order of the result.
    names = dict(zip(back.lhs, spec.lhs)) | dict(zip(back.rhs, spec.rhs))
    renamed = Spec(*("".join(names[c] for c in term) for term in back))
    assert (renamed.lhs, renamed.rhs) == (spec.lhs, spec.rhs)
    assert sorted(renamed.out) == sorted(spec.out)
    stock = jax.eval_shape(lambda a, b: jax.lax.dot_general(a, b, numbers), lhs, rhs)
    assert out_shape(back, lhs.shape, rhs.shape) == stock.shape


@settings(max_examples=100, deadline=None)
@given(contractions())
def test_subscripts_of_a_spec_are_read_back(contraction):
    spec, sizes = contraction
    shapes = [[sizes[c] for c in term] for term in (spec.lhs, spec.rhs)]
    assert spec_from_subscripts(repr(spec), *shapes) == spec


@pytest.mark.parametrize(
    ("numbers", "ndims", "expected"),
    [
        ((((1,), (0,)), ((), ())), (2, 2), "ab,bc->ac"),
        ((((0,), (1,)), ((), ())), (2, 2), "ab,ca->bc"),
        ((((2,), (1,)), ((0,), (0,))), (3, 3), "abc,acd->abd"),
        ((((1, 2), (2, 0)), ((), ())), (3, 3), "abc,cdb->ad"),
        ((((3,), (0,)), ((1, 2), (3, 1))), (4, 4), "abcd,dceb->bcae"),
        ((((), ()), ((), ())), (1, 1), "a,b->ab"),
        ((((0,), (0,)), ((), ())), (1, 1), "a,a->"),
    ],
)
def test_dimension_numbers_become_batch_then_free_labels(numbers, ndims, expected):
    assert repr(spec_from_dimension_numbers(numbers, *ndims)) == expected


@pytest.mark.parametrize(
    ("subscripts", "shapes", "sizes"),
    [
        ("abk,kn->abn", ((2, 3, 4), (4, 5)), (0, 1, 1, 1)),
        ("mab,abn->mn", ((2, 3, 4), (3, 4, 5)), (0, 1, 1, 1)),
        ("abmk,abkn->abmn", ((2, 3, 4, 5), (2, 3, 5, 6)), (1, 1, 1, 1)),
        ("mk,kab->mab", ((2, 3), (3, 4, 5)), (0, 1, 1, 1)),
        ("amk,kn->amn", ((1, 3, 4), (4, 5)), (0, 1, 1, 1)),  # size 1 is no loop
        ("mk,kn->mn", ((1, 4), (4, 1)), (0, 0, 1, 0)),
        ("akb,kc->abc", ((2, 3, 4), (3, 5)), (0, 2, 1, 1)),  # k lies between
        ("mab,ban->mn", ((2, 3, 4), (4, 3, 5)), (0, 1, 2, 1)),  # other order in rhs
        ("bamk,abkn->abmn", ((2, 3, 4, 5), (3, 2, 5, 6)), (2, 1, 1, 1)),
        ("mak,kn->anm", ((2, 3, 4), (4, 5)), (0, 2, 1, 1)),  # other order in out
    ],
)
def test_dimensions_merge_where_they_lie_together_in_every_operand(
    subscripts, shapes, sizes
):
    spec = spec_from_subscripts(subscripts, *shapes)
    axes = contraction_axes(spec, *shapes)
    assert tuple(map(len, axes)) == sizes


def test_strides_are_in_elements_and_zero_where_the_index_is_absent():
    axes = contraction_axes(Spec("bkm", "bnk", "bmn"), (2, 3, 4), (2, 5, 3))
    assert axes.batch == (Axis(2, 12, 15, 20),)
    assert axes.m == (Axis(4, 1, 0, 5),)
    assert axes.k == (Axis(3, 4, 1, 0),)
    assert axes.n == (Axis(5, 0, 3, 1),)
    assert axes.sizes == (2, 4, 3, 5)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("...ij,jk->...ik", ((2, 3), (3, 4))),
        ("ii,ij->ij", ((2, 2), (2, 3))),
        ("ij,jk->k", ((2, 3), (3, 4))),
        ("ij,ij->ii", ((2, 2), (2, 2))),
        ("ij,jk->ik", ((2, 1), (3, 4))),  # broadcasting
        ("ij,jk->ik", ((2, 3, 4), (3, 4))),
        ("ij,jk->il", ((2, 3), (3, 4))),
        ("ij->ji", ((2, 3), (3, 4))),
        ("i1,1k->ik", ((2, 3), (3, 4))),
    ],
)
def test_what_a_spec_cannot_say_is_left_to_einsum(subscripts, shapes):
    assert spec_from_subscripts(subscripts, *shapes) is None


def test_an_implicit_result_is_in_alphabetical_order():
    spec = spec_from_subscripts("cb,ba", (2, 3), (3, 4))
    assert repr(spec) == "cb,ba->ac"


def test_an_unused_label_is_in_no_term():
    spec = Spec("abd", "bce", "acde")
    assert unused_label(spec) not in "".join(spec)


@pytest.mark.parametrize(
    ("subscripts", "orders"),
    [
        ("mk,kn->mn", ("mk", "kn")),
        ("km,nk->mn", ("km", "nk")),
        ("bmk,bnk->bmn", ("mk", "nk")),
        ("kbm,kbn->nbm", ("km", "kn")),
        ("akm,kan->anm", ("km", "kn")),
        ("mkl,lnk->mn", ("mk", "nk")),
        ("kaml,lnk->mna", ("mk", "nk")),
        ("mz,zn->mn", ("km", "kn")),  # z has size 1 and is nobody's neighbour
        ("zk,kn->nz", ("mk", "kn")),
        ("mkb,nkb->bmn", ("mk", "kn")),  # neither: the default
        ("k,k->", ("mk", "nk")),
    ],
)
def test_orders_are_those_of_the_innermost_dimensions(subscripts, orders):
    sizes = dict(zip("abklmnz", (2, 3, 4, 5, 6, 7, 1)))
    spec = Spec(*subscripts.replace("->", ",").split(","))
    shapes = [[sizes[c] for c in term] for term in spec[:2]]
    assert contraction_axes(spec, *shapes).orders == orders
