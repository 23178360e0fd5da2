"""A contraction as labelled dimensions, and the loops that it means.

`Spec` is einsum notation with one restriction: every label stands in at least two of
lhs, rhs and out. Permuting the three terms gives both transposes of the contraction, so
no differentiation rule ever moves data.
"""

import math
from collections.abc import Sequence
from string import ascii_letters
from typing import NamedTuple

# ((lhs contracting, rhs contracting), (lhs batch, rhs batch)), as lax has them
DimPair = tuple[Sequence[int], Sequence[int]]
DimensionNumbers = tuple[DimPair, DimPair]

# More letters than any contraction has dimensions: the alphabet, then the CJK block.
LABELS = ascii_letters + "".join(map(chr, range(0x4E00, 0xA000)))


class Spec(NamedTuple):
    """Dimension labels of the operands and the result, one letter a dimension."""

    lhs: str
    rhs: str
    out: str

    def __repr__(self) -> str:
        return f"{self.lhs},{self.rhs}->{self.out}"


class Axis(NamedTuple):
    """One loop; strides in elements, 0 where the operand lacks the index."""

    size: int
    lhs: int
    rhs: int
    out: int


class Axes(NamedTuple):
    """The loops of a contraction by role, outermost first.

    `batch` indexes lhs, rhs and out; `m` lhs and out; `n` rhs and out; `k` lhs and rhs.
    """

    batch: tuple[Axis, ...]
    m: tuple[Axis, ...]
    k: tuple[Axis, ...]
    n: tuple[Axis, ...]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Sizes (batch, m, k, n) of the equivalent batch of matrix products."""
        batch, m, k, n = (math.prod(axis.size for axis in axes) for axes in self)
        return batch, m, k, n

    @property
    def orders(self) -> tuple[str, str]:
        """How lhs and rhs lie, outermost first: mk or km, kn or nk.

        The last letter has neighbours in memory, unless only the batch has.
        """
        lhs_is_km = any(axis.lhs == 1 for axis in self.m)
        rhs_is_nk = any(axis.rhs == 1 for axis in self.k)
        return "km" if lhs_is_km else "mk", "nk" if rhs_is_nk else "kn"


def spec_from_dimension_numbers(
    dimension_numbers: DimensionNumbers, lhs_ndim: int, rhs_ndim: int
) -> Spec:
    """The `Spec` of `lax.dot_general`: out is batch, then lhs's, then rhs's free."""
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    lhs = LABELS[:lhs_ndim]
    shared = dict(zip((*rhs_contract, *rhs_batch), (*lhs_contract, *lhs_batch)))
    fresh = iter(LABELS[lhs_ndim:])
    rhs = "".join(
        lhs[shared[d]] if d in shared else next(fresh) for d in range(rhs_ndim)
    )
    batch = "".join(lhs[d] for d in lhs_batch)
    lhs_free = "".join(c for c in lhs if c not in rhs)
    rhs_free = "".join(c for c in rhs if c not in lhs)
    return Spec(lhs, rhs, batch + lhs_free + rhs_free)


def dimension_numbers_from_spec(spec: Spec) -> DimensionNumbers:
    """Dimension numbers of `lax.dot_general`; they leave the order of out open."""
    contract = [c for c in spec.lhs if c not in spec.out]
    batch = [c for c in spec.lhs if c in spec.rhs and c in spec.out]

    def dims(term: str, labels: list[str]) -> tuple[int, ...]:
        return tuple(term.index(c) for c in labels)

    return (
        (dims(spec.lhs, contract), dims(spec.rhs, contract)),
        (dims(spec.lhs, batch), dims(spec.rhs, batch)),
    )


def spec_from_subscripts(
    subscripts: str, lhs_shape: Sequence[int], rhs_shape: Sequence[int]
) -> Spec | None:
    """The `Spec` of an einsum of two operands, or None if a `Spec` cannot express it.

    It cannot express ellipses, repeated labels, sums over one operand's own label, and
    broadcasting of size 1.
    """
    inputs, arrow, out = subscripts.replace(" ", "").partition("->")
    lhs, _, rhs = inputs.partition(",")
    if not arrow:
        out = "".join(sorted(set(lhs) ^ set(rhs)))
    spec = Spec(lhs, rhs, out)
    plain = all(
        set(term) <= set(ascii_letters) and len(set(term)) == len(term) for term in spec
    )
    paired = all("".join(spec).count(c) >= 2 for c in "".join(spec))
    if not (
        plain and paired and (len(lhs), len(rhs)) == (len(lhs_shape), len(rhs_shape))
    ):
        return None
    sizes = label_sizes(spec, lhs_shape, rhs_shape)
    if tuple(sizes[c] for c in lhs) != tuple(lhs_shape):
        return None
    return spec


def unused_label(spec: Spec) -> str:
    return next(c for c in LABELS if c not in spec.lhs + spec.rhs)


def label_sizes(
    spec: Spec, lhs_shape: Sequence[int], rhs_shape: Sequence[int]
) -> dict[str, int]:
    return dict(zip(spec.lhs, lhs_shape)) | dict(zip(spec.rhs, rhs_shape))


def out_shape(
    spec: Spec, lhs_shape: Sequence[int], rhs_shape: Sequence[int]
) -> tuple[int, ...]:
    sizes = label_sizes(spec, lhs_shape, rhs_shape)
    return tuple(sizes[c] for c in spec.out)


def contraction_axes(
    spec: Spec, lhs_shape: Sequence[int], rhs_shape: Sequence[int]
) -> Axes:
    """The loops over row-major operands, with neighbouring dimensions merged."""
    sizes = label_sizes(spec, lhs_shape, rhs_shape)
    strides = [_row_major_strides(labels, sizes) for labels in spec]

    def axes(labels: str) -> tuple[Axis, ...]:
        loops = (Axis(sizes[c], *(s.get(c, 0) for s in strides)) for c in labels)
        return _merge([axis for axis in loops if axis.size != 1])

    lhs, rhs, out = map(set, spec)
    return Axes(
        batch=axes("".join(c for c in spec.out if c in lhs & rhs)),
        m=axes("".join(c for c in spec.out if c not in rhs)),
        k=axes("".join(c for c in spec.lhs if c not in out)),
        n=axes("".join(c for c in spec.out if c not in lhs)),
    )


def _row_major_strides(labels: str, sizes: dict[str, int]) -> dict[str, int]:
    strides, stride = {}, 1
    for label in reversed(labels):
        strides[label] = stride
        stride *= sizes[label]
    return strides


def _merge(axes: list[Axis]) -> tuple[Axis, ...]:
    """Joins an axis with the next inner one where every operand steps evenly."""
    merged: list[Axis] = []
    for inner in axes:
        if merged and all(
            outer == stride * inner.size
            for outer, stride in zip(merged[-1][1:], inner[1:])
        ):
            merged[-1] = inner._replace(size=merged[-1].size * inner.size)
        else:
            merged.append(inner)
    return tuple(merged)
