"""The share of faults that the checks find: measures the table of docs/precision.md.

`pytest -s -m slow tests/xla_ffi/npu/test_detection.py` prints it.
"""

import ctypes
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

GUIDE = Path(__file__).parents[3] / "docs/precision.md"
BF16 = np.dtype(ml_dtypes.bfloat16)
M, K, N = 256, 768, 256  # a run, padded, of GPT-2's products
SELF_TEST = (256, 256, 256)  # npu1's
TILE_M, TILE_K, TILE_N = 64, 64, 32  # of a core
CORE_STRIDE = 128  # columns between two tiles of one core
ARITHMETICS = {"f32": 0, "bfp16": 1, "bfp16_floor": 2}  # NpuArithmetic

# Images (m, k) and (k, n), row-major: whether k is A's and B's rows, whether in tiles.
ROWS = (ctypes.c_int * 3)(False, True, False)

# The rules of checks: (arithmetic, whether a self-test has confirmed it).
RULES = {
    "f32": ("f32", True),
    "bfp16": ("bfp16", True),
    "bfp16, unconfirmed": ("bfp16", False),
}
# Trials for each share, and the tolerance of the table's figures after many of them.
FEW, MANY = 8, 60
TOLERANCE = 0.15


def address(array):
    return array.ctypes.data_as(ctypes.c_void_p)


class Checks:
    """The compiled check and self-test, on arrays."""

    def __init__(self, library):
        self.library = library

    def decoded(self, arithmetic, rows):
        """(k, n) as cores of that arithmetic see them, in blocks along k."""
        rows = np.ascontiguousarray(rows, BF16)
        values = np.empty(rows.shape, np.float32)
        sizes = map(ctypes.c_int64, rows.shape)
        self.library.decode_rows(
            ARITHMETICS[arithmetic], address(rows), *sizes, address(values)
        )
        return values

    def product(self, arithmetic, a, b):
        a, b = self.decoded(arithmetic, a.T).T, self.decoded(arithmetic, b)
        return a @ b

    def run_is_found(self, rule, a, b, c, seed):
        arithmetic, is_confirmed = RULES[rule]
        sizes = np.array([1, *a.shape, b.shape[1], *c.shape], np.int64)
        a, b = (np.ascontiguousarray(x, BF16) for x in (a, b))
        c = np.ascontiguousarray(c, np.float32)
        found = self.library.find_mistake(
            *map(address, (a, b, c, sizes)),
            ROWS,
            arithmetic.encode(),
            int(is_confirmed),
            ctypes.c_uint64(seed),
        )
        return found != b""

    def known_operands(self, product):
        m, k, n = SELF_TEST
        return [
            np.ctypeslib.as_array(
                self.library.known_operand(
                    *map(ctypes.c_int64, SELF_TEST), ROWS, product, is_b
                ),
                shape,
            ).view(BF16)
            for is_b, shape in enumerate([(m, k), (k, n)])
        ]

    def self_test_is_found(self, expected, integers, rounded):
        name = ctypes.c_char_p()
        results = [np.ascontiguousarray(c, np.float32) for c in (integers, rounded)]
        found = self.library.judge_self_test(
            *map(ctypes.c_int64, SELF_TEST),
            expected.encode(),
            *map(address, results),
            ctypes.byref(name),
        )
        return found != b"", name.value.decode()


@pytest.fixture(scope="module")
def checks(library):
    return Checks(library)


class Run:
    """One run of the array, to be spoiled: operands, result, and a random generator."""

    def __init__(self, checks, arithmetic, a, b, before, rng):
        self.checks, self.arithmetic, self.rng = checks, arithmetic, rng
        self.a, self.b, self.before = a, b, before
        self.c = self.product(a, b)

    def product(self, a, b, arithmetic=None):
        return self.checks.product(arithmetic or self.arithmetic, a, b)

    def tile(self):
        """The first row and column of a random core's tile in the result."""
        row = self.rng.integers(len(self.a) // TILE_M) * TILE_M
        column = self.rng.integers(CORE_STRIDE // TILE_N) * TILE_N
        return row, column

    def element(self):
        return tuple(self.rng.integers(self.c.shape))


def nothing_written(run):
    sentinel = np.zeros(1, np.float32)
    run.checks.library.fill_sentinel(address(sentinel), ctypes.c_int64(1))
    run.c[:] = sentinel


def result_of_the_run_before(run):
    run.c = run.before.copy()


def one_tile_wrong(run):
    row, column = run.tile()
    tile = run.c[row : row + TILE_M, column : column + TILE_N]
    other = run.c[(row + TILE_M) % len(run.a) :][:TILE_M, column : column + TILE_N]
    tile[:] = other.copy()


def one_core_wrong(run):
    """The core reads the rows of A of the core above it."""
    row, column = run.tile()
    rows = np.roll(run.a, TILE_M, axis=0)[row : row + TILE_M]
    for first in range(column, run.c.shape[1], CORE_STRIDE):
        columns = slice(first, first + TILE_N)
        run.c[row : row + TILE_M, columns] = run.product(rows, run.b[:, columns])


def operands_swapped(run):
    a = run.b.reshape(-1)[: run.a.size].reshape(run.a.shape)
    b = run.a.reshape(-1)[: run.b.size].reshape(run.b.shape)
    run.c = run.product(a, b)


def b_as_its_transpose(run):
    run.c = run.product(run.a, run.b.reshape(run.b.shape[::-1]).T)


def last_k_step_missing(run):
    run.c = run.product(run.a[:, :-TILE_K], run.b[:-TILE_K])


def operands_rounded_downwards(run):
    run.c = run.product(run.a, run.b, "bfp16_floor")


def sums_rounded_to_bf16_at_each_k_step(run):
    """Like a C of bf16 in the core's memory: the cause of "K >= 3072 is wrong"."""
    c = np.zeros_like(run.c)
    for k in range(0, run.a.shape[1], TILE_K):
        part = run.product(run.a[:, k : k + TILE_K], run.b[k : k + TILE_K])
        c = (c + part).astype(BF16).astype(np.float32)
    run.c = c


def one_element_off_by_its_size(run):
    run.c[run.element()] *= 2


def one_exponent_or_sign_bit_flipped(run):
    flip(run, run.rng.integers(23, 32))


def one_mantissa_bit_flipped(run):
    flip(run, run.rng.integers(0, 23))


def flip(run, bit):
    run.c.view(np.uint32)[run.element()] ^= np.uint32(1 << int(bit))


FAULTS = [
    nothing_written,
    result_of_the_run_before,
    one_tile_wrong,
    one_core_wrong,
    operands_swapped,
    b_as_its_transpose,
    last_k_step_missing,
    operands_rounded_downwards,
    sums_rounded_to_bf16_at_each_k_step,
    one_element_off_by_its_size,
    one_exponent_or_sign_bit_flipped,
    one_mantissa_bit_flipped,
]


def checked_run(checks, fault, rule, trials):
    """The share of spoiled runs that a check finds."""
    found = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        a, b, other = (
            rng.standard_normal(s).astype(BF16) for s in ((M, K), (K, N), (M, K))
        )
        arithmetic, _ = RULES[rule]
        run = Run(checks, arithmetic, a, b, checks.product(arithmetic, other, b), rng)
        fault(run)
        found += checks.run_is_found(rule, a, b, run.c, seed)
    return found / trials


def self_test(checks, fault, arithmetic, trials):
    """The share of contexts with that fault in each run that the self-test finds."""
    operands = [checks.known_operands(product) for product in (0, 1)]
    right = [checks.product(arithmetic, *pair) for pair in operands]
    found = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        results = []
        for pair, before in zip(operands, (np.zeros_like(right[0]), right[0])):
            run = Run(checks, arithmetic, *pair, before, rng)
            fault(run)
            results.append(run.c)
        found += checks.self_test_is_found(arithmetic, *results)[0]
    return found / trials


def measure(checks, fault, trials):
    """A row of the table."""
    row = {rule: checked_run(checks, fault, rule, trials) for rule in RULES}
    for arithmetic in ("f32", "bfp16"):
        name = f"self-test, {arithmetic}"
        row[name] = self_test(checks, fault, arithmetic, trials)
    return row


def shares_in_the_guide():
    """The table's rows: fault -> shares."""
    rows = re.findall(r"^\| ([a-z][^|]+) \|((?: \d+ % \|)+)", GUIDE.read_text(), re.M)
    return {
        name: [int(n) / 100 for n in re.findall(r"\d+", cells)] for name, cells in rows
    }


def assert_as_in_the_guide(checks, fault, trials, tolerance):
    row = measure(checks, fault, trials)
    name = fault.__name__.replace("_", " ")
    print(f"| {name} |" + "".join(f" {100 * p:.0f} % |" for p in row.values()))
    expected = shares_in_the_guide()[name]
    assert list(row.values()) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_guide_says_what_the_checks_find(checks, fault):
    # A share of 8 trials is off by 0.35 at two standard deviations.
    assert_as_in_the_guide(checks, fault, FEW, 0.36)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_guide_says_what_the_checks_find_in_many_runs(checks, fault):
    assert_as_in_the_guide(checks, fault, MANY, TOLERANCE)


@pytest.mark.parametrize("rule", RULES)
def test_a_right_run_raises_no_alarm(checks, rule):
    """Without this the table would mean nothing."""
    assert checked_run(checks, lambda run: None, rule, MANY) == 0


@pytest.mark.parametrize("arithmetic", ["f32", "bfp16"])
def test_a_right_self_test_passes_and_names_its_arithmetic(checks, arithmetic):
    operands = [checks.known_operands(product) for product in (0, 1)]
    results = [checks.product(arithmetic, *pair) for pair in operands]
    assert checks.self_test_is_found(arithmetic, *results) == (False, arithmetic)


def test_exact_products_pass_where_bfp16_is_expected(checks):
    operands = [checks.known_operands(product) for product in (0, 1)]
    results = [checks.product("f32", *pair) for pair in operands]
    assert checks.self_test_is_found("bfp16", *results) == (False, "f32")


def test_another_rounding_without_bias_passes_but_is_not_taken_for_bfp16(checks):
    """The chip's bfp16 may differ in a detail that nobody published."""
    integers, rounded = (checks.known_operands(product) for product in (0, 1))
    rng = np.random.default_rng(0)
    c = checks.product("bfp16", *rounded).astype(np.float64)
    c *= 1 + 1e-4 * rng.standard_normal(c.shape)
    results = checks.product("bfp16", *integers), c
    assert checks.self_test_is_found("bfp16", *results) == (False, "other")
    assert checks.self_test_is_found("f32", *results) == (True, "other")


def without_smallest_mantissa(checks, x):
    """bfp16 (k, n) of cores that have -127 for -128, as many formats do."""
    exact = np.asarray(x, np.float32).reshape(-1, 8, x.shape[1])
    largest = np.exp2(np.floor(np.log2(np.abs(exact).max(1, keepdims=True))))
    values = checks.decoded("bfp16", x).reshape(exact.shape)
    values = np.where(values == -2 * largest, -127 / 64 * largest, values)
    return values.reshape(x.shape)


def test_cores_that_differ_in_a_detail_are_not_taken_for_bfp16(checks):
    integers, (a, b) = (checks.known_operands(product) for product in (0, 1))
    c = without_smallest_mantissa(checks, a.T).T @ without_smallest_mantissa(checks, b)
    results = checks.product("bfp16", *integers), c
    assert checks.self_test_is_found("bfp16", *results) == (False, "other")
