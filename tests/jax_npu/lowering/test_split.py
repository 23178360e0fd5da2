"""The split of a contraction, on cases whose cheapest one is known.

Sizes are such that the bytes of each choice, in the comments, are far apart. A device
sends or receives S bytes to gather an array of S, S to have its share of a sum of S
(reduce-scatter), 2 S to have all of it (all-reduce), and S / n to exchange a split of
one dimension over n devices for that of another (all-to-all). Work counts too: where
an axis splits nothing, all its devices compute the same.
"""

import itertools
import math

import pytest

from jax_npu.contraction import Spec
from jax_npu.lowering.mesh.device_axes import DeviceAxis
from jax_npu.lowering.mesh.split import (
    Arrays,
    best_split,
    scattered_axes,
    summed_axes,
    tilings,
)

ALL = DeviceAxis(1, 8)
ROWS, COLUMNS = DeviceAxis(4, 2), DeviceAxis(1, 4)  # of a mesh of 2 x 4 devices
PRODUCT = Spec("mk", "kn", "mn")
GRADIENT = Spec("km", "kn", "mn")  # of a weight (m, n), summed over k tokens
F32 = (4, 4, 4)


def split_of(spec, sizes, lhs, rhs, out, itemsizes=F32):
    """The labels that are split, from the tilings that the arrays have.

    `lhs`, `rhs` and `out` map labels to an axis or a tuple of them.
    """

    def tiling(term, parts):
        axes = (parts.get(label, ()) for label in term)
        return tuple(
            a if a and isinstance(a[0], DeviceAxis) else (a,) * bool(a) for a in axes
        )

    arrays = Arrays(
        *(spec, dict(sizes), itemsizes),
        tuple(tiling(term, parts) for term, parts in zip(spec, (lhs, rhs, out))),
    )
    return {label: axes for label, axes in best_split(arrays).items() if axes}


MANY_TOKENS = {"m": 4096, "k": 64, "n": 64}  # lhs, out: 1 MB each, rhs: 16 KB
FEW_TOKENS = {"m": 8, "k": 1024, "n": 1024}  # lhs, out: 32 KB each, rhs: 4 MB
TOKENS_SUMMED = {"k": 4096, "m": 64, "n": 64}  # lhs, rhs: 1 MB each, out: 16 KB


@pytest.mark.parametrize(
    ("spec", "sizes", "lhs", "rhs", "out", "best"),
    [
        # Data parallel: nothing moves.
        (PRODUCT, MANY_TOKENS, {"m": ALL}, {}, {"m": ALL}, {"m": ALL}),
        # Its weight's gradient: all-reduce of 2 x 16 KB; else 2 MB are gathered.
        (GRADIENT, TOKENS_SUMMED, {"k": ALL}, {"k": ALL}, {}, {"k": ALL}),
        # FSDP: the 16 KB of weights are gathered, not the 1 MB of activations.
        (PRODUCT, MANY_TOKENS, {"m": ALL}, {"k": ALL}, {"m": ALL}, {"m": ALL}),
        (PRODUCT, MANY_TOKENS, {"m": ALL}, {"n": ALL}, {"m": ALL}, {"m": ALL}),
        # FSDP's gradient: a reduce-scatter of 16 KB.
        (GRADIENT, TOKENS_SUMMED, {"k": ALL}, {"k": ALL}, {"m": ALL}, {"k": ALL}),
        (GRADIENT, TOKENS_SUMMED, {"k": ALL}, {"k": ALL}, {"n": ALL}, {"k": ALL}),
        # Few tokens and 4 MB of weights, split by rows: exchange 4 KB of lhs, and sum
        # 32 KB. By columns: gather 32 KB of lhs, exchange 4 KB of the result.
        (PRODUCT, FEW_TOKENS, {"m": ALL}, {"k": ALL}, {"m": ALL}, {"k": ALL}),
        (PRODUCT, FEW_TOKENS, {"m": ALL}, {"n": ALL}, {"m": ALL}, {"n": ALL}),
        # Tensor parallel, column then row.
        (PRODUCT, MANY_TOKENS, {}, {"n": ALL}, {"n": ALL}, {"n": ALL}),
        (PRODUCT, FEW_TOKENS, {"k": ALL}, {"k": ALL}, {}, {"k": ALL}),
        # Whole operands are cut for free, to share the work of a split result.
        (PRODUCT, MANY_TOKENS, {}, {}, {"m": ALL}, {"m": ALL}),
        # Nothing is split, nothing will be.
        (PRODUCT, MANY_TOKENS, {}, {}, {}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_the_cheapest_split_over_one_axis_is_chosen(spec, sizes, lhs, rhs, out, best):
    chosen = split_of(spec, sizes, lhs, rhs, out)
    assert chosen == {label: (axis,) for label, axis in best.items()}


@pytest.mark.parametrize(
    ("k", "lhs", "rhs", "out", "best"),
    [
        # Data and tensor parallel, by columns: nothing moves.
        (64, {"m": ROWS}, {"n": COLUMNS}, {"m": ROWS, "n": COLUMNS}, "mn"),
        # By rows: all-reduce of 2 x 512 KB, or gather 4 MB of lhs.
        (512, {"m": ROWS, "k": COLUMNS}, {"k": COLUMNS}, {"m": ROWS}, "mk"),
        # The same with a short k, which lhs and rhs are split along: as XLA, sum.
        (64, {"m": ROWS, "k": COLUMNS}, {"k": COLUMNS}, {"m": ROWS}, "mk"),
        # FSDP over one axis, tensor parallel over the other: 4 KB are gathered.
        (64, {"m": ROWS}, {"k": ROWS, "n": COLUMNS}, {"m": ROWS, "n": COLUMNS}, "mn"),
    ],
    ids=str,
)
def test_each_axis_of_a_mesh_has_its_own_split(k, lhs, rhs, out, best):
    chosen = split_of(PRODUCT, {"m": 4096, "k": k, "n": 64}, lhs, rhs, out)
    known = {"m": (ROWS,), "k": (COLUMNS,), "n": (COLUMNS,)}
    assert chosen == {label: known[label] for label in best}


def test_two_axes_of_one_dimension_keep_their_order():
    both = (COLUMNS, ROWS)
    chosen = split_of(PRODUCT, MANY_TOKENS, {"m": both}, {}, {"m": both})
    assert chosen == {"m": both}


def test_a_sum_that_both_operands_are_split_along_stays():
    # Gathering 16 KB of operands would be less than reducing 1 MB, and would have every
    # device do the work of the others: with activations as operands, that is a gather
    # that stock jax does not do.
    sizes = {"m": 512, "k": 4, "n": 512}
    chosen = split_of(PRODUCT, sizes, {"k": ALL}, {"k": ALL}, {"m": ALL})
    assert chosen == {"k": (ALL,)}


def test_work_that_all_devices_would_repeat_counts_as_bytes():
    # To compute the result where it is needed whole, every device would do all of 1
    # GFLOP; a split of m gathers 64 KB instead.
    sizes = {"m": 128, "k": 32768, "n": 128}
    chosen = split_of(PRODUCT, sizes, {"m": ALL}, {}, {})
    assert chosen == {"m": (ALL,)}


def test_bytes_are_those_of_the_types():
    # m is split in lhs, n in rhs, and the result is whole: the larger operand stays.
    sizes = {"m": 64, "k": 512, "n": 96}
    given = {"m": ALL}, {"n": ALL}, {}
    assert split_of(PRODUCT, sizes, *given, itemsizes=(4, 4, 4)) == {"n": (ALL,)}
    assert split_of(PRODUCT, sizes, *given, itemsizes=(4, 2, 4)) == {"m": (ALL,)}


def test_no_axis_splits_two_labels_of_an_array(rng):
    labels = "mknb"
    spec = Spec("bmk", "bkn", "bmn")
    for _ in range(200):
        sizes = {label: int(rng.choice([8, 64, 512])) for label in labels}

        def parts(term):
            axes = [ROWS, COLUMNS]
            chosen = rng.choice(list(term), size=2, replace=False)
            return {c: a for c, a in zip(chosen, axes) if rng.random() < 0.7}

        chosen = split_of(spec, sizes, *(parts(term) for term in spec))
        used = list(itertools.chain(*chosen.values()))
        assert len(used) == len(set(used)), chosen
        for term, tiling in zip(spec, tilings(spec, chosen)):
            assert len(tiling) == len(term)
            assert math.prod(a.size for axes in tiling for a in axes) <= 8
        assert set(summed_axes(spec, chosen)) == set(chosen.get("k", ()))


@pytest.mark.parametrize(
    ("m", "out", "scattered"),
    [
        (64, {}, {}),  # the result is whole: all-reduce
        (64, {"m": (ROWS, COLUMNS)}, {"m": (ROWS, COLUMNS)}),
        (64, {"m": (COLUMNS,)}, {"m": (COLUMNS,)}),
        (64, {"m": (ROWS,), "n": (COLUMNS,)}, {"m": (ROWS,), "n": (COLUMNS,)}),
        # Eight devices do not divide 60: all-reduce, then cut.
        (60, {"m": (ROWS, COLUMNS)}, {}),
    ],
    ids=str,
)
def test_a_sum_is_scattered_where_the_result_is_split_by_its_axes(m, out, scattered):
    parts = {"k": (ROWS, COLUMNS)}
    tilings_of = tuple(
        tuple(have.get(label, ()) for label in term)
        for term, have in zip(GRADIENT, (parts, parts, out))
    )
    arrays = Arrays(GRADIENT, {"k": 4096, "m": m, "n": 64}, F32, tilings_of)
    assert scattered_axes(arrays, parts) == scattered
