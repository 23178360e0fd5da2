"""The check of results: it finds wrong ones, and raises no alarm for right ones."""

import ctypes
import itertools
import os
import subprocess
import sys

import jax
import ml_dtypes
import numpy as np
import pytest

import jax_npu
from xdna.gemm.array import IMAGE_TILE

from .expected_images import in_tiles

BATCH, M, K, N = 2, 64, 256, 192
SEEDS = range(20)
ARITHMETIC = "JAX_NPU_SIM_ARITHMETIC"

needs_sim = pytest.mark.skipif(
    not jax_npu.backends()["sim"].available, reason="sim cannot run here"
)


def address(array):
    return array.ctypes.data_as(ctypes.c_void_p)


# Whether k is the rows of A's image and of B's, and whether both are in tiles.
ROWS = (False, True, False)
LAYOUTS = list(itertools.product([False, True], repeat=3))
SOME_LAYOUTS = [ROWS, (False, False, False), (True, False, True), (False, True, True)]


@pytest.fixture
def find(library):
    """A function that describes the mistake in c = a (B, m, k) b (B, k, n), or "".

    Where c is larger, the array has read on past what is stored of a and b.
    """

    def find(a, b, c, seed=0, arithmetic="f32", layout=ROWS, is_confirmed=False):
        (batch, m, k), n = a.shape, b.shape[2]
        a_k_is_rows, b_k_is_rows, is_tiled = layout
        a = a.swapaxes(1, 2) if a_k_is_rows else a
        b = b if b_k_is_rows else b.swapaxes(1, 2)
        a, b = (in_tiles(x) if is_tiled else x for x in (a, b))
        past_end = k * (c.shape[1] + c.shape[2] - m - n)
        a, b = (np.pad(x.reshape(-1), (0, past_end)) for x in (a, b))
        a, b = (np.ascontiguousarray(x, ml_dtypes.bfloat16) for x in (a, b))
        c = np.ascontiguousarray(c, np.float32)
        sizes = np.array([batch, c.shape[1], k, c.shape[2], m, n], np.int64)
        return library.find_mistake(
            *map(address, (a, b, c, sizes)),
            (ctypes.c_int * 3)(*layout),
            arithmetic.encode(),
            int(is_confirmed),
            ctypes.c_uint64(seed),
        ).decode()

    return find


def operands(seed, batch=BATCH, m=M, k=K, n=N):
    rng = np.random.default_rng(seed)
    a, b = (
        rng.standard_normal(shape).astype(ml_dtypes.bfloat16).astype(np.float32)
        for shape in ((batch, m, k), (batch, k, n))
    )
    return a, b, (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)


def read_on(x, k_is_rows):
    """(B, free, k) and as many free indices more, as the array reads them in tiles.

    After the free indices of a tile of k come those of the next one, or all those of
    the next batch entry; zeros follow the last.
    """
    batch, free, k = x.shape
    if k_is_rows:
        following = x.swapaxes(1, 2).reshape(batch * k, free)[IMAGE_TILE:]
        following = np.pad(following, ((0, IMAGE_TILE), (0, 0)))
        following = following.reshape(batch, k, free).swapaxes(1, 2)
    else:
        following = np.concatenate([x[1:], np.zeros_like(x[:1])])
    return np.concatenate([x, following], 1)


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one[2]])
def test_what_the_array_computes_past_the_operands_is_checked(find, layout):
    a, b, _ = operands(7, 2, 32, 64, 48)
    whole_a = read_on(a, layout[0])
    whole_b = read_on(b.swapaxes(1, 2), layout[1]).swapaxes(1, 2)
    c = whole_a @ whole_b
    assert find(a, b, c, layout=layout) == ""
    for entry, row, column in ((0, 40, 3), (1, 5, 70), (0, 63, 95)):
        wrong = c.copy()
        wrong[entry, row, column] += 100
        assert f"element ({row}, {column})" in find(a, b, wrong, layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("arithmetic", ["f32", "bfp16"])
def test_a_right_product_passes(find, arithmetic, layout):
    for seed in SEEDS:
        assert find(*operands(seed), seed, arithmetic, layout) == ""


def test_columns_are_read_in_chunks_of_any_layout(find):
    a, b, c = operands(0, n=2080)
    spoiled = c.copy()
    spoiled[1, 60, 1100] *= 2
    for layout in LAYOUTS:
        assert find(a, b, c, layout=layout) == ""
        assert "(60, 1100)" in find(a, b, spoiled, layout=layout)


def with_wrong_tile(a, b, c):
    c[1, 16:32, 32:64] = c[1, 32:48, 32:64]


def with_transposed_tile(a, b, c):
    c[0, :32, 64:96] = c[0, :32, 64:96].T.copy()


def with_zero_tile(a, b, c):
    c[1, 32:, 128:] = 0


def with_stale_output(a, b, c):
    c[:] = operands(seed=999)[2]


def with_entries_swapped(a, b, c):
    c[:] = c[::-1].copy()


def with_half_of_k(a, b, c):
    c[:] = a[..., : K // 2] @ b[:, : K // 2]


def with_rows_shifted(a, b, c):
    c[:] = np.roll(c, 1, axis=1)


def with_a_transposed_b(a, b, c):
    c[0] = a[0] @ b[0].reshape(N, K).T


def with_a_nan(a, b, c):
    c[1, 3, 5] = np.nan


def with_an_infinity(a, b, c):
    c[1, 3, 5] = -np.inf


SPOILS = [
    with_wrong_tile,
    with_transposed_tile,
    with_zero_tile,
    with_stale_output,
    with_entries_swapped,
    with_half_of_k,
    with_rows_shifted,
    with_a_transposed_b,
    with_a_nan,
    with_an_infinity,
]


@pytest.mark.parametrize("layout", SOME_LAYOUTS)
@pytest.mark.parametrize("spoil", SPOILS)
def test_a_wrong_product_is_found(find, spoil, layout):
    for seed in SEEDS:
        a, b, c = operands(seed)
        spoil(a, b, c)
        assert find(a, b, c, seed, layout=layout) != ""


# Not the transposed tile, most of whose elements are within the bound.
@pytest.mark.parametrize("spoil", [s for s in SPOILS if s != with_transposed_tile])
def test_block_floating_point_does_not_hide_a_wrong_product(find, spoil):
    for seed in SEEDS:
        a, b, c = operands(seed)
        assert find(a, b, c, seed, "bfp16") == ""
        spoil(a, b, c)
        assert find(a, b, c, seed, "bfp16") != ""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_element_is_found_once_its_row_is_suspicious(find, layout):
    """Four times the root mean square of what rounding does to the row's sum."""
    for seed in SEEDS:
        a, b, c = operands(seed)
        row, column = np.random.default_rng(seed).integers((M, N))
        squares = (a[1, row] ** 2) @ (b[1] ** 2)
        tolerance = 2.0**-25 * K  # kSumError
        bound = 4 * tolerance * np.sqrt(squares.sum())
        assert bound < 0.01 * np.sqrt(squares.mean())  # of a typical element
        for sign in (-1, 1):
            off = c.copy()
            off[1, row, column] += sign * 0.8 * bound
            assert find(a, b, off, seed, layout=layout) == ""
            off[1, row, column] += sign * 0.8 * bound
            mistake = find(a, b, off, seed, layout=layout)
            assert f"({row}, {column})" in mistake


# Rounding may be off by 2^-6 of an element's mass, which grows with k, an element of
# random data with its root: from some thousands on everything is within rounding.
@pytest.mark.parametrize(("k", "is_found"), [(1536, True), (49152, False)])
def test_block_floating_point_hides_wrong_products_of_long_k(find, k, is_found):
    for seed in range(4):
        a, b, c = operands(seed, batch=1, m=16, k=k, n=128)
        assert (find(a, b, np.roll(c, 1, axis=1), seed, "bfp16") != "") == is_found


def test_each_element_that_was_never_written_is_found_and_counted(library, find):
    a, b, c = operands(0)
    sentinel = np.zeros(1, np.float32)
    library.fill_sentinel(address(sentinel), ctypes.c_int64(1))
    assert np.isnan(sentinel).all()
    for count, i in enumerate(np.random.default_rng(1).permutation(c.size)[:50], 1):
        c.reshape(-1)[i] = sentinel[0]
        expected = f"{count} of {c.size} elements were never written"
        assert find(a, b, c) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("of_a", [False, True])
def test_operands_that_are_not_finite_raise_no_alarm(find, bad, of_a):
    a, b, _ = operands(0)
    (a if of_a else b)[0, 5, 7] = bad
    with np.errstate(invalid="ignore"):
        assert find(a, b, a @ b) == ""


def test_an_infinity_spares_only_the_rows_that_it_reaches(find):
    a, b, _ = operands(0)
    a[0, 5, 7] = np.inf
    with np.errstate(invalid="ignore"):
        c = a @ b
    c[0, 6] = 0
    assert "(6, 0)" in find(a, b, c)


@pytest.mark.parametrize("layout", SOME_LAYOUTS)
@pytest.mark.parametrize("arithmetic", ["f32", "bfp16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -(2.0**127), 2.0**100])
def test_a_bad_column_of_b_hides_no_mistake_in_the_others(
    find, bad, arithmetic, layout
):
    """Such columns come from masks of the smallest float, or from XLA's padding."""
    for seed in SEEDS:
        a, b, _ = operands(seed)
        b[0, 5, 7] = bad
        with np.errstate(invalid="ignore", over="ignore"):
            c = a @ b
        if arithmetic == "f32":
            assert find(a, b, c, seed, layout=layout) == ""
        c[0, 32:, 64:] = 0
        assert find(a, b, c, seed, arithmetic, layout) != ""


def test_large_columns_of_b_are_checked_in_some_rows(find):
    for seed in SEEDS:
        a, b, c = operands(seed)
        assert find(a, b * 2.0**80, c * 2.0**80, seed) == ""
        assert find(a, b * 2.0**80, c * 2.0**81, seed) != ""


def test_operands_below_the_smallest_normal_may_be_flushed(find):
    a, b, _ = operands(0)
    a *= 1e-39
    assert find(a, b * 100, np.zeros((BATCH, M, N))) == ""
    assert find(a, b * 100, a @ (b * 100)) == ""
    assert find(a, b * 100, np.full((BATCH, M, N), 1e-30)) != ""


def test_zeros_are_checked_too(find):
    a, b, c = operands(0)
    a[:] = c[:] = 0
    assert find(a, b, c) == ""
    c[1, 2, 3] = 1e-30
    assert "(2, 3)" in find(a, b, c)


def test_products_below_the_smallest_normal_may_be_flushed(find):
    a, b, _ = operands(0)
    assert find(a * 1e-19, b * 1e-19, np.zeros((BATCH, M, N))) == ""


def test_sums_that_overflow_are_not_judged(find):
    a, b, c = operands(0)
    a, b = a * 2.0**63, b * 2.0**63
    assert find(a, b, np.sign(c) * np.inf) == ""


# Constants whose products have bits that f32 drops, always in one direction.
CONSTANTS = (1 + 2.0**-7, 0.1, 0.3, 1.7)


@needs_sim
@pytest.mark.parametrize("size", [(1, 4096, 1), (5, 4096, 3), (2, 30000, 2)])
@pytest.mark.parametrize("value", CONSTANTS)
def test_constant_operands_raise_no_alarm(strict, size, value):
    m, k, n = size
    strict(np.full((m, k), value), np.full((k, n), value))


@pytest.mark.parametrize("value", CONSTANTS)
def test_a_wrong_element_of_constant_operands_is_found(find, value):
    a, b = np.full((1, 4, 4096), value), np.full((1, 4096, 4), value)
    c = a.astype(ml_dtypes.bfloat16).astype(np.float64)
    c = c @ b.astype(ml_dtypes.bfloat16).astype(np.float64)
    assert find(a, b, c) == ""
    c[0, 2, 3] *= 1 + 1e-3
    assert "(2, 3)" in find(a, b, c)


@pytest.fixture
def strict(monkeypatch):
    """Computes on the virtual NPU; a mistake that the check finds is an error."""
    monkeypatch.setenv("JAX_NPU_CHECK", "always")
    monkeypatch.setenv("JAX_NPU_STRICT", "1")

    def multiply(a, b):
        function = jax.jit(lambda a, b: jax_npu.matmul(a, b, backend="sim"))
        a, b = (np.asarray(x, np.float32) for x in (a, b))
        jax.block_until_ready(function(a, b))

    return multiply


def with_wide_range(rng, shape):
    return np.ldexp(rng.standard_normal(shape), rng.integers(-40, 40, shape))


def with_cancellation(rng, shape):
    x = rng.standard_normal(shape) * 1e4
    x.reshape(-1)[1::2] = -x.reshape(-1)[: x.size // 2 * 2 : 2]
    return x


def with_outliers(rng, shape):
    return rng.standard_normal(shape) * np.where(rng.random(shape) < 0.01, 1e4, 1)


def positive(rng, shape):
    return rng.random(shape) + 1


def sparse(rng, shape):
    return rng.standard_normal(shape) * (rng.random(shape) < 0.02)


def with_tiny_values(rng, shape):
    return rng.standard_normal(shape) * 1e-38


HARD = [
    with_wide_range,
    with_cancellation,
    with_outliers,
    positive,
    sparse,
    with_tiny_values,
]


@needs_sim
@pytest.mark.parametrize("make", HARD)
def test_hard_data_raise_no_alarm(strict, make):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        m, k, n = rng.integers((1, 1, 1), (130, 700, 260))
        strict(make(rng, (m, k)), make(rng, (k, n)))
    strict(make(rng, (33, 9000)), make(rng, (9000, 70)))


@needs_sim
@pytest.mark.skipif(ARITHMETIC in os.environ, reason="the test starts itself for each")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "arithmetic"),
    [
        ("npu1", "fast"),
        ("npu2", "exact"),
        ("npu2", "bfp16"),
    ],
)
def test_no_other_arithmetic_raises_an_alarm(device, arithmetic):
    """A process has one device, so each needs its own."""
    names = "test_hard_data or test_constant_operands"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {"JAX_NPU_DEVICE": device, ARITHMETIC: arithmetic}
    done = subprocess.run(
        [*command, "-p", "no:xdist", __file__, "-k", names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
