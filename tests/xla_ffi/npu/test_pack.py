"""Packing: the images that the NPU reads, and the results made from those it writes."""

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest

from jax_npu.contraction import contraction_axes, out_shape, spec_from_subscripts
from jax_npu.lowering.attributes import (
    npu_attributes,
    plan_attributes,
    product_attributes,
)
from jax_npu.lowering.value_numbers import value_number
from jax_npu.precision import part_pairs
from jax_npu.runtime import extension, npu_finder
from jax_npu.runtime.npu_finder import FoundNpu
from xdna.gemm.array import GemmArray
from xdna.gemm.runs import Run
from xdna.gemm.stream import image_bytes
from xdna.gemm.tiling import make_plan

from .expected_images import (
    SIZES,
    assert_same,
    expected_images,
    matrices,
    ordered,
    passes_of,
)

HERE = Path(__file__).parent
TARGET = "xdna_gemm_sim"
BF16 = ml_dtypes.bfloat16
F32 = np.float32
TILE = (16, 8, 16)
ARRAYS = {
    "rows": GemmArray("npu1", *TILE),
    "columns of B": GemmArray("npu1", *TILE, b_column_major=True),
    "tiles": GemmArray("npu1", 32, 32, 32, images="tiles"),
}

# Both operands in every order, with and without a batch, and with several dimensions
# where a product has one.
CONTRACTIONS = [
    *(
        f"{lhs},{rhs}->{out}"
        for lhs in ("mk", "km")
        for rhs in ("kn", "nk")
        for out in ("mn", "nm")
    ),
    "bmk,bkn->bmn",
    "mbk,knb->nbm",
    "kbm,nbk->mnb",
    "abk,kcd->dacb",
    "akb,dkc->abcd",
    "mkl,lnk->mn",
    "lmk,kln->nm",
    "kaml,lnk->mna",
    "m,n->mn",
    "k,k->",
    "mk,k->m",
    "zk,kn->nz",
]


@pytest.fixture(scope="session")
def recording_driver(tmp_path_factory):
    library = tmp_path_factory.mktemp("driver") / "librecording.so"
    command = [
        "g++",
        "-std=c++17",
        "-shared",
        "-fPIC",
        "-I",
        HERE.parents[2],
    ]
    subprocess.run([*command, HERE / "recording_driver.cc", "-o", library], check=True)
    return library


@pytest.fixture
def run_recorded(recording_driver, tmp_path, rng, monkeypatch):
    """A function that contracts on the recording driver.

    It returns the result, the plan, and for each run the images of A and B that the
    driver received and the C that it gave back. `split` replaces the plan's runs,
    `change` its attributes.
    """

    monkeypatch.setattr(
        npu_finder,
        "find_npu",
        lambda _, folder: FoundNpu(recording_driver, Path(folder), "recording"),
    )

    numbers = itertools.count()

    def run(
        subscripts,
        lhs,
        rhs,
        out_dtype=F32,
        passes=1,
        array=None,
        split=None,
        change=None,
    ):
        folder = tmp_path / str(next(numbers))  # a driver is opened once
        folder.mkdir()
        spec = spec_from_subscripts(subscripts, lhs.shape, rhs.shape)
        axes = contraction_axes(spec, lhs.shape, rhs.shape)
        pairs = part_pairs(passes, lhs.dtype, rhs.dtype)
        batch, m, k, n = axes.sizes
        array = array or ARRAYS["rows"]
        plan = make_plan(array, batch, m, k * len(pairs), n, *axes.orders)
        if split is not None:
            plan = replace(plan, runs=split(plan))
        images = []
        for i, one in enumerate(plan.runs):
            c = rng.standard_normal(image_bytes(plan, one)[2] // 4).astype(F32)
            c.tofile(folder / f"{i}.c")
            images.append(c)
        extension.register(TARGET)
        words = np.arange(sum(range(len(plan.runs) + 1)), dtype=np.uint32)
        ends = np.cumsum(np.arange(1, len(plan.runs) + 1))
        by_run = np.split(words, ends[:-1])  # 1, 2, ... words of the runs
        attributes = plan_attributes(plan, by_run)
        changed = attributes if change is None else change(attributes)
        result = jax.ShapeDtypeStruct(
            out_shape(spec, lhs.shape, rhs.shape), np.dtype(out_dtype)
        )
        out = jax.jit(
            lambda x, y: jax.ffi.ffi_call(TARGET, result)(
                x,
                y,
                value_number(x),
                value_number(y),
                **product_attributes(spec, pairs),
                **npu_attributes(
                    plan=changed,
                    self_test=attributes,
                    device=str(folder),
                    design_key="recording",
                    arithmetic="f32",
                    check="off",
                    strict=False,
                ),
            )
        )(lhs, rhs)
        out = np.asarray(out)
        a, b = (
            [np.fromfile(folder / f"{i}.{j}", np.uint16) for i in range(len(images))]
            for j in "01"
        )
        words = [np.fromfile(folder / f"{i}.words", "<u4") for i in range(len(images))]
        assert np.concatenate(words).tolist() == list(range(sum(map(len, words))))
        assert [len(part) for part in words] == list(range(1, len(images) + 1))
        return out, plan, a, b, images

    return run


def operand(rng, labels, dtype):
    """Signed values of all magnitudes, with some that are not finite or denormal."""
    shape = [SIZES[c] for c in labels]
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-30, 30, shape)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-44, 3.4e38, -3.39e38]
    x = np.where(rng.random(shape) < 0.1, rng.choice(odd, shape), x)
    return x.astype(F32).astype(dtype)


def check(run_recorded, subscripts, lhs, rhs, out_dtype=F32, passes=1, **options):
    out, plan, a_images, b_images, c_images = run_recorded(
        subscripts, lhs, rhs, out_dtype, passes, **options
    )
    spec = spec_from_subscripts(subscripts, lhs.shape, rhs.shape)
    pairs = part_pairs(passes, lhs.dtype, rhs.dtype)
    # Lower products of such operands may overflow, so the first parts come first.
    if len(pairs) > 1:
        pairs = [pairs[-1], *pairs[:-1]]
    a, b = matrices(spec, lhs, rhs)
    a = passes_of(a, [(i, i + j > 0) for i, j in pairs], axis=2)
    b = passes_of(b, [(j, i + j > 0) for i, j in pairs], axis=1)
    if plan.swapped:
        a, b = b.swapaxes(1, 2), a.swapaxes(1, 2)
    c = np.full((len(a), a.shape[1], b.shape[2]), np.nan, F32)
    for i, run in enumerate(plan.runs):
        for actual, image in zip(
            (a_images[i], b_images[i]), expected_images(plan, run, a, b)
        ):
            assert_same(actual, image)
        batches, m, n = run.grid * np.array([1, plan.array.block_m, plan.array.block_n])
        batch, row, column = run.start
        row, column = row * plan.array.block_m, column * plan.array.block_n
        target = c[batch : batch + batches, row : row + m, column : column + n]
        image = c_images[i].reshape(batches, m, n)
        target[...] = image[:, : target.shape[1], : target.shape[2]]
    expected = ordered(spec, c.swapaxes(1, 2) if plan.swapped else c)
    np.testing.assert_array_equal(out.view(out_dtype), expected.astype(out_dtype))


@pytest.mark.parametrize(
    "dtypes", [(F32, F32, F32), (BF16, BF16, BF16), (F32, BF16, F32)]
)
@pytest.mark.parametrize("subscripts", CONTRACTIONS)
@pytest.mark.parametrize("images", ["rows", "tiles"])
def test_images_hold_the_operands_in_any_order(
    run_recorded, rng, images, subscripts, dtypes
):
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = (operand(rng, term, t) for term, t in zip(terms, dtypes))
    check(run_recorded, subscripts, lhs, rhs, dtypes[2], array=ARRAYS[images])


def transposed(plan):
    """The plan's attributes for images that lie across the operands."""
    return plan | {f"{name}_k_is_rows": not plan[f"{name}_k_is_rows"] for name in "ab"}


@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "km,nk->nm", "bmk,nbk->bmn"])
@pytest.mark.parametrize("images", ["rows", "tiles"])
def test_images_lie_as_the_plan_says_and_not_as_the_operands(
    run_recorded, rng, images, subscripts
):
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = (operand(rng, term, F32) for term in terms)
    array = ARRAYS[images]
    _, plan, *straight, _ = run_recorded(subscripts, lhs, rhs, array=array)
    _, _, *across, _ = run_recorded(
        subscripts, lhs, rhs, array=array, change=transposed
    )
    assert len(plan.runs) == 1
    stored, orders = plan.padded, ("mk", "kn")
    if array.is_tiled:
        images, orders = plan.images(plan.runs[0]), plan.orders
        m, n = (image.batch_stride // plan.padded_k for image in images[:2])
        stored = replace(stored, m=m, n=n)
    for (one,), (other,), order in zip(straight, across, orders):
        sizes = [getattr(stored, dimension) for dimension in order]
        size = plan.gemm.batch * sizes[0] * sizes[1]
        one, other = one[:size], other[:size]
        if array.is_tiled:
            one, other = from_tiles(one, *sizes), from_tiles(other, *sizes[::-1])
        one, other = one.reshape(-1, *sizes), other.reshape(-1, *sizes[::-1])
        np.testing.assert_array_equal(other, one.swapaxes(1, 2))


def from_tiles(image, rows, columns):
    """(batch, rows, columns) of an image in tiles."""
    x = image.reshape(-1, rows // 16, columns // 16, 2, 2, 8, 8)
    return np.einsum("zRCrcxy->zRrxCcy", x).reshape(-1, rows, columns)


@pytest.mark.parametrize("dtypes", [(F32, F32), (BF16, F32)])
@pytest.mark.parametrize("passes", [3, 6, 9])
@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "km,nk->nm", "mkl,lnk->mn"])
@pytest.mark.parametrize("images", ["rows", "tiles"])
def test_higher_precision_is_a_longer_k(
    run_recorded, rng, images, subscripts, passes, dtypes
):
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = (operand(rng, term, t) for term, t in zip(terms, dtypes))
    check(run_recorded, subscripts, lhs, rhs, passes=passes, array=ARRAYS[images])


def test_the_smallest_products_come_first_where_nothing_overflows(run_recorded, rng):
    lhs = rng.standard_normal((SIZES["m"], SIZES["k"])).astype(F32)
    rhs = rng.standard_normal((SIZES["k"], SIZES["n"])).astype(F32)
    _, plan, (a,), (b,), _ = run_recorded("mk,kn->mn", lhs, rhs, passes=3)
    order = part_pairs(3, lhs.dtype, rhs.dtype)
    assert order[-1] == (0, 0)
    lhs = passes_of(lhs[None], [(i, False) for i, _ in order], axis=2)
    rhs = passes_of(rhs[None], [(j, False) for _, j in order], axis=1)
    if plan.swapped:
        lhs, rhs = rhs.swapaxes(1, 2), lhs.swapaxes(1, 2)
    for actual, image in zip((a, b), expected_images(plan, plan.runs[0], lhs, rhs)):
        assert_same(actual, image)


@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "km,nk->nm", "bmk,bkn->bmn"])
def test_b_can_lie_column_major(run_recorded, rng, subscripts):
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = (operand(rng, term, F32) for term in terms)
    check(run_recorded, subscripts, lhs, rhs, array=ARRAYS["columns of B"])


def test_a_plans_numbers_are_told_apart_by_their_names(run_recorded, rng):
    """The sides of a block have one type, and are exchanged here."""

    def exchanged(plan):
        pairs = (("block_m", "block_n"), ("m_multiple", "n_multiple"))
        names = {name: other for pair in pairs for name, other in (pair, pair[::-1])}
        return plan | {name: plan[other] for name, other in names.items()}

    # One block of either kind holds the product.
    lhs, rhs = operand(rng, "mk", F32)[:9], operand(rng, "kn", F32)[:, :9]
    array = GemmArray("npu1", 16, 8, 32)
    assert array.block_m != array.block_n
    for change, block_m in ((None, array.block_m), (exchanged, array.block_n)):
        _, plan, (a,), _, _ = run_recorded(
            "mk,kn->mn", lhs, rhs, array=array, change=change
        )
        assert a.size == plan.runs[0].grid[1] * block_m * plan.padded_k


def every_block(plan):
    """Runs of one block of C each."""
    return tuple(Run(point, (1, 1, 1), "m") for point in np.ndindex(*plan.blocks))


@pytest.mark.parametrize("subscripts", ["bmk,bkn->bmn", "mbk,knb->nbm", "mak,kn->amn"])
@pytest.mark.parametrize("images", ["rows", "tiles"])
def test_a_product_of_several_runs_is_put_together(
    run_recorded, rng, images, subscripts
):
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = (operand(rng, term, F32) for term in terms)
    options = {"array": ARRAYS[images], "split": every_block}
    check(run_recorded, subscripts, lhs, rhs, **options)


@pytest.mark.parametrize("out_dtype", [F32, BF16])
@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "mk,kn->nm"])
@pytest.mark.parametrize("extra_columns", [0, 5])
def test_results_that_are_stored_past_the_caches(
    run_recorded, rng, subscripts, extra_columns, out_dtype
):
    """Results of 2 MB and more, with rows that begin a line of the cache and others."""
    m, n = 1024, 2048 + extra_columns
    lhs = rng.standard_normal((m, 8)).astype(F32)
    rhs = rng.standard_normal((8, n)).astype(F32)
    array = GemmArray("npu1", 64, 8, 64)
    out, plan, _, _, (image,) = run_recorded(
        subscripts, lhs, rhs, out_dtype, array=array
    )
    rows, columns = plan.blocks[1] * array.block_m, plan.blocks[2] * array.block_n
    c = image.reshape(rows, columns)
    c = c[:n, :m].T if plan.swapped else c[:m, :n]
    expected = (c if subscripts.endswith("mn") else c.T).astype(out_dtype)
    np.testing.assert_array_equal(out.view(out_dtype), expected)


@pytest.mark.parametrize("isa", ["avx512bf16", "avx512", "avx2", "portable"])
def test_every_instruction_set_rounds_alike(run_recorded, rng, monkeypatch, isa):
    monkeypatch.setenv("JAX_NPU_HOST_ISA", isa)
    try:
        extension.host_isa()
    except ValueError as error:
        pytest.skip(str(error))
    check(
        run_recorded,
        "km,nk->mn",
        operand(rng, "km", F32),
        operand(rng, "nk", F32),
        BF16,
    )


@pytest.mark.parametrize("images", ["rows", "tiles"])
def test_a_large_image_is_packed_by_several_threads(run_recorded, rng, images):
    x = rng.standard_normal((700, 300)).astype(F32)
    out, plan, (a,), (b,), (c,) = run_recorded(
        "mk,nk->nm", x, x[:500], array=ARRAYS[images]
    )
    expected = expected_images(plan, plan.runs[0], x[None], x[:500].T[None])
    if plan.swapped:
        expected = expected_images(plan, plan.runs[0], x[None, :500], x.T[None])
    for actual, image in zip((a, b), expected):
        assert_same(actual, image.astype(BF16))
    image = c.reshape(plan.padded.m, plan.padded.n)
    expected = image[:500, :700] if plan.swapped else image[:700, :500].T
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("subscripts", ["mk,kn->mn", "km,nk->mn"])
@pytest.mark.parametrize("images", ["rows", "tiles"])
def test_a_wide_image_is_packed_in_pieces(
    run_recorded, rng, monkeypatch, images, subscripts, passes
):
    for label, size in {"m": 1100, "k": 1200, "n": 40}.items():
        monkeypatch.setitem(SIZES, label, size)
    terms = subscripts.split("->")[0].split(",")
    lhs, rhs = (operand(rng, term, F32) for term in terms)
    check(run_recorded, subscripts, lhs, rhs, passes=passes, array=ARRAYS[images])
