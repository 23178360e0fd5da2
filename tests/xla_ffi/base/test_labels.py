"""From labels to loops: as Python derives them, and an error for what does not fit."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_npu.contraction import Axes, Axis, Spec, contraction_axes, out_shape
from jax_npu.lowering.attributes import product_attributes

ROOT = Path(__file__).parents[3]
HUGE = 1 << 40


@pytest.fixture(scope="session")
def axes_of(tmp_path_factory):
    """A function of labels and sizes, three lists each, that returns the `Axes`.

    The sizes of an operand that is packed are None. An error is a ValueError.
    """
    path = tmp_path_factory.mktemp("labels") / "liblabels.so"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    sources = [
        ROOT / "tests/xla_ffi/base/labels_door.cc",
        ROOT / "xla_ffi/base/labels.cc",
        ROOT / "xla_ffi/base/contraction.cc",
    ]
    subprocess.run(["g++", *flags, "-I", ROOT, *sources, "-o", path], check=True)
    function = ctypes.CDLL(str(path)).axes_of
    function.restype = ctypes.c_char_p

    def call(labels, sizes):
        counts, numbers = np.zeros(4, np.int64), np.zeros((64, 4), np.int64)
        arrays = [
            flat(labels),
            np.array([len(term) for term in labels]),
            flat(term or [] for term in sizes),
            np.array([-1 if term is None else len(term) for term in sizes]),
            counts,
            numbers,
        ]
        pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in arrays]
        if error := function(*pointers):
            raise ValueError(error.decode())
        ends = np.cumsum(counts)
        roles = np.split(numbers[: ends[-1]], ends[:-1])
        return Axes(*(tuple(Axis(*map(int, row)) for row in role) for role in roles))

    return call


def flat(terms):
    return np.array([number for term in terms for number in term], np.int64)


@st.composite
def contractions(draw):
    """A random spec of up to three labels for each role, with the operands' shapes."""
    labels = iter("abcdefghijkl")
    batch, m, k, n = (
        "".join(next(labels) for _ in range(draw(st.integers(0, 3)))) for _ in range(4)
    )
    terms = (batch + m + k, batch + k + n, batch + m + n)
    orders = st.sampled_from(["as it is", "shuffled"])  # the former merges
    spec = Spec(
        *(
            t if draw(orders) == "as it is" else "".join(draw(st.permutations(t)))
            for t in terms
        )
    )
    sizes = {label: draw(st.integers(0, 4)) for label in batch + m + k + n}
    return spec, *([sizes[c] for c in term] for term in (spec.lhs, spec.rhs))


def labels_of(spec):
    attributes = product_attributes(spec, [(0, 0)])
    return [attributes[name].tolist() for name in ("lhs", "rhs", "out")]


@settings(max_examples=500, deadline=None)
@given(contractions())
def test_loops_are_those_that_python_derives(axes_of, contraction):
    spec, lhs, rhs = contraction
    shapes = [lhs, rhs, out_shape(spec, lhs, rhs)]
    expected = contraction_axes(spec, lhs, rhs)
    assert axes_of(labels_of(spec), shapes) == expected
    # The sizes of one operand follow from the other arrays.
    assert axes_of(labels_of(spec), [None, *shapes[1:]]) == expected
    assert axes_of(labels_of(spec), [lhs, None, shapes[2]]) == expected


def test_labels_count_from_0_by_their_first_appearance():
    assert labels_of(Spec("bkm", "nbk", "mbn")) == [[0, 1, 2], [3, 0, 1], [2, 0, 3]]


MATMUL = [[0, 1], [1, 2], [0, 2]]
SIZES = [[2, 3], [3, 5], [2, 5]]


@pytest.mark.parametrize(
    ("labels", "sizes", "message"),
    [
        (MATMUL, [[2, 3], [4, 5], [2, 5]], "label 1 has size 4 in rhs and 3 before"),
        (MATMUL, [[2, 3], [3, 5], [2, 6]], "label 2 has size 6 in out and 5 before"),
        (MATMUL, [[2, 3, 1], [3, 5], [2, 5]], "lhs has 3 dimensions and 2 labels"),
        (MATMUL, [[2, 3], [3, 5], [10]], "out has 1 dimensions and 2 labels"),
        ([[0, 1], [1, 2], [0]], [[2, 3], [3, 5], [2]], "label 2 stands in one term"),
        ([[0, 0], [0, 1], [1]], [[2, 2], [2, 5], [5]], "label 0 stands twice in lhs"),
        ([[0, 1], [1, 2], [0, 0]], [[2, 3], [3, 5], [2, 2]], "0 stands twice in out"),
        ([[0, 4], [4, 2], [0, 2]], SIZES, "label 4 of lhs is none of the operands'"),
        ([[0, 1], [1, 2], [0, -1]], SIZES, "label -1 of out is none of the operands'"),
        (MATMUL, [None, None, [2, 5]], "label 1 has no size: both operands are packed"),
        (MATMUL, [[2, HUGE], [HUGE, HUGE], [2, HUGE]], "rhs has too many elements"),
        (MATMUL, [[HUGE, 0], [0, HUGE], [HUGE, HUGE]], "out has too many elements"),
        (
            [[0, 1, 2], [2], [0, 1]],
            [[HUGE, HUGE, 0], [0], [HUGE, HUGE]],
            "lhs has too many elements",
        ),
    ],
)
def test_what_does_not_fit_is_an_error(axes_of, labels, sizes, message):
    with pytest.raises(ValueError, match=message):
        axes_of(labels, sizes)
