"""`dot_general` against NumPy in float64, and its interface against lax's."""

import inspect
import itertools
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jax_npu

from ..named_cases import named_case

F32, BF16 = "float32", "bfloat16"
DTYPES = [(F32, F32), (BF16, BF16), (F32, BF16), (BF16, F32)]
ORIENTATIONS = ["mk,kn", "mk,nk", "km,kn", "km,nk"]
BATCHES = [
    ("bmk,bkn", "b"),
    ("bkm,bnk", "b"),
    ("mbk,kbn", "b"),
    ("mkb,bnk", "b"),
    ("bcmk,bckn", "bc"),
    ("bcmk,cbnk", "bc"),
    ("bcmk,bckn", "cb"),
    ("mbkc,cnbk", "bc"),
    ("kcbm,nkbc", "cb"),
    ("bmk,knb", "b"),
]
SHAPES = [  # m, k, n
    (1, 65, 1),
    (7, 1, 17),
    (17, 7, 33),
    (33, 129, 65),
    (129, 65, 1),
    (1, 33, 129),
]
ROWS_COLUMNS = (((1,), (0,)), ((), ()))


def dot_arguments(inputs, batch=""):
    """Dimension numbers and einsum subscripts of labelled operands."""
    lhs, rhs = inputs.split(",")
    contract = sorted((set(lhs) & set(rhs)) - set(batch))
    free = "".join(c for c in lhs + rhs if (c in lhs) != (c in rhs))
    numbers = tuple(
        tuple(tuple(term.index(c) for c in labels) for term in (lhs, rhs))
        for labels in (contract, batch)
    )
    return numbers, f"{inputs}->{batch}{free}"


def operands(rng, inputs, sizes, dtypes=(F32, F32)):
    return [
        jnp.asarray(rng.standard_normal([sizes[c] for c in term]), dtype)
        for term, dtype in zip(inputs.split(","), dtypes)
    ]


@pytest.fixture
def check_products(rng, assert_contraction):
    """A function of (sizes, dtypes, inputs, batch), a case each, and a backend.

    All products are one program: compiling takes longer than computing.
    """

    def check(cases, backend, preferred=F32):
        pairs = [
            operands(rng, inputs, sizes, dtypes) for sizes, dtypes, inputs, _ in cases
        ]
        arguments = [dot_arguments(inputs, batch) for *_, inputs, batch in cases]

        @jax.jit
        def products(pairs):
            return [
                jax_npu.dot_general(*x, numbers, preferred_element_type=preferred)
                for x, (numbers, _) in zip(pairs, arguments)
            ]

        for out, pair, (_, subscripts), case in zip(
            products(pairs), pairs, arguments, cases, strict=True
        ):
            with named_case(*case):
                assert_contraction(out, subscripts, *pair, backend)

    return check


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_orientation_dtype_and_odd_shape_is_right(backend, check_products, shape):
    sizes = dict(zip("mkn", shape))
    cases = itertools.product([sizes], DTYPES, ORIENTATIONS, [""])
    check_products(list(cases), backend)


@pytest.mark.parametrize("shape", [(17, 7, 33), (1, 33, 1)], ids=str)
def test_batch_dimensions_in_any_place_and_order_are_right(
    backend, check_products, shape
):
    sizes = dict(zip("mkn", shape)) | {"b": 3, "c": 2}
    check_products(
        [(sizes, dtypes, *batch) for dtypes in DTYPES[1:] for batch in BATCHES],
        backend,
    )


@pytest.mark.parametrize("preferred", [None, F32, BF16])
def test_bf16_results_are_rounded_once(custom_call_backend, check_products, preferred):
    sizes = {"b": 2, "m": 9, "k": 200, "n": 21}
    labels = [("mk,nk", ""), ("bkm,bkn", "b")]
    cases = [(sizes, dtypes, *one) for dtypes in DTYPES for one in labels]
    check_products(cases, custom_call_backend, preferred)


def test_several_contracted_and_free_dimensions_in_any_order_are_right(
    backend, check_products
):
    sizes = {"a": 3, "b": 4, "c": 5, "m": 6, "n": 7, "k": 9, "x": 2, "y": 3}
    labels = [
        ("mab,abn", ""),
        ("mab,ban", ""),
        ("amb,nba", ""),
        ("bxamy,nbca", "b"),
        ("abcm,ncab", ""),
        ("abc,cab", ""),
        ("abc,bca", "b"),
        ("mxk,ky", ""),
    ]
    free_c = sizes | {"c": 1}  # one label would be too many for the reference
    cases = [
        (free_c if one[0] == "bxamy,nbca" else sizes, (F32, F32), *one)
        for one in labels
    ]
    check_products(cases, backend, preferred=None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_order_of_contracted_dimensions_only_pairs_them(
    backend, rng, assert_contraction, order
):
    lhs, rhs = operands(rng, "abm,nab", {"a": 3, "b": 4, "m": 5, "n": 6})
    lhs_dims, rhs_dims = np.array([0, 1])[list(order)], np.array([1, 2])[list(order)]
    numbers = ((lhs_dims, rhs_dims), ((), ()))
    out = jax_npu.dot_general(lhs, rhs, numbers)
    assert_contraction(out, "abm,nab->mn", lhs, rhs, backend)


@pytest.mark.parametrize(
    "numbers",
    [
        (((1,), (0,)), ((), ())),
        ([[1], [0]], [[], []]),
        ((np.array([1]), np.array([0])), (np.array([], int), np.array([], int))),
        (((np.int64(1),), (np.int32(0),)), ((), ())),
        ((range(1, 2), range(1)), ([], ())),
    ],
    ids=["tuple", "list", "array", "numpy int", "range"],
)
def test_dimension_numbers_may_be_any_sequences_of_ints(
    backend, rng, assert_contraction, numbers
):
    lhs, rhs = operands(rng, "mk,kn", {"m": 3, "k": 4, "n": 5})
    out = jax.jit(lambda a, b: jax_npu.dot_general(a, b, numbers))(lhs, rhs)
    assert_contraction(out, "mk,kn->mn", lhs, rhs, backend)


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize(
    "sizes", [(2, 3, 0, 4), (2, 0, 3, 4), (2, 3, 4, 0), (0, 3, 4, 5), (2, 0, 0, 0)]
)
def test_zero_size_dimensions_give_zeros_or_nothing(backend, dtype, sizes):
    b, m, k, n = sizes
    lhs, rhs = jnp.ones((b, m, k), dtype), jnp.ones((b, n, k), dtype)
    out = jax_npu.dot_general(lhs, rhs, (((2,), (2,)), ((0,), (0,))))
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, np.zeros((b, m, n), dtype))


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 5, 1, 1), (3, 1, 4, 1)])
def test_size_one_dimensions_are_right(backend, rng, assert_contraction, sizes):
    lhs, rhs = operands(rng, "bmk,nbk", dict(zip("bmkn", sizes)))
    numbers, subscripts = dot_arguments("bmk,nbk", "b")
    out = jax_npu.dot_general(lhs, rhs, numbers)
    assert_contraction(out, subscripts, lhs, rhs, backend)


@pytest.mark.parametrize("inputs", [",", "k,k", "mk,k", "k,kn", "m,n", "m,", ",n"])
def test_vectors_and_scalars_are_right(backend, rng, assert_contraction, inputs):
    lhs, rhs = operands(rng, inputs, {"m": 5, "k": 19, "n": 6})
    numbers, subscripts = dot_arguments(inputs)
    out = jax_npu.dot_general(lhs, rhs, numbers)
    assert_contraction(out, subscripts, lhs, rhs, backend)


# The blocks of the host GEMM are m 256, n 192 and k 384.
@pytest.mark.parametrize(
    "shape",
    [
        (257, 385, 193),
        (255, 383, 191),
        (513, 769, 385),
        (3, 2049, 5),
        (600, 5, 40),
        (40, 5, 600),
    ],
    ids=str,
)
def test_sizes_around_and_beyond_the_blocks_are_right(backend, check_products, shape):
    sizes, dtypes = dict(zip("mkn", shape)), [(F32, F32), (BF16, BF16)]
    check_products(
        list(itertools.product([sizes], dtypes, ORIENTATIONS, [""])), backend
    )


def test_many_blocks_and_batches_in_parallel_are_right(
    backend, rng, assert_contraction
):
    lhs, rhs = operands(rng, "bmk,nbk", {"b": 5, "m": 300, "k": 400, "n": 210})
    numbers, subscripts = dot_arguments("bmk,nbk", "b")
    out = jax.jit(lambda a, b: jax_npu.dot_general(a, b, numbers))(lhs, rhs)
    assert_contraction(out, subscripts, lhs, rhs, backend)


def test_calls_from_eight_threads_at_once_are_right(backend, rng, assert_contraction):
    shapes = [{"m": 40 * i + 1, "k": 90 * i + 1, "n": 70 * i + 3} for i in range(1, 9)]
    pairs = [operands(rng, "mk,nk", sizes) for sizes in shapes]
    numbers, subscripts = dot_arguments("mk,nk")

    @jax.jit
    def product(lhs, rhs):
        return jax_npu.dot_general(lhs, rhs, numbers, backend=backend)

    def four_times(pair):
        return [product(*pair) for _ in range(4)]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(four_times, pairs))
    for pair, outs in zip(pairs, results):
        for out in outs:
            assert_contraction(out, subscripts, *pair, backend)


def test_many_products_of_one_program_are_right(backend, rng, assert_contraction):
    lhs, rhs = operands(rng, "bmk,bkn", {"b": 16, "m": 70, "k": 80, "n": 90})

    @jax.jit
    def products(lhs, rhs):
        return [jax_npu.matmul(a, b) for a, b in zip(lhs, rhs)]

    for a, b, out in zip(lhs, rhs, products(lhs, rhs)):
        assert_contraction(out, "mk,kn->mn", a, b, backend)


def test_only_a_backend_is_added_to_the_signature_of_lax():
    def essence(function):
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in parameters]

    added = ("backend", inspect.Parameter.KEYWORD_ONLY, None)
    assert essence(jax_npu.dot_general) == [*essence(lax.dot_general), added]


@pytest.mark.parametrize(("inputs", "batch"), [*BATCHES, ("mk,kn", ""), (",", "")])
def test_result_type_is_that_of_lax(backend, inputs, batch):
    sizes = {"b": 2, "c": 3, "m": 4, "k": 5, "n": 6}
    numbers, _ = dot_arguments(inputs, batch)

    def out_type(dot, dtypes, preferred):
        arguments = [
            jax.ShapeDtypeStruct([sizes[c] for c in term], dtype)
            for term, dtype in zip(inputs.split(","), dtypes)
        ]
        options = {"preferred_element_type": preferred}
        return jax.eval_shape(lambda *x: dot(*x, numbers, **options), *arguments)

    for case in itertools.product(DTYPES, [None, F32, BF16]):
        assert out_type(jax_npu.dot_general, *case) == out_type(lax.dot_general, *case)


@pytest.mark.parametrize("arguments", [(2.0, 3.0), (np.float32(2.0), 3.0), (2.0, 1j)])
def test_weak_types_are_those_of_lax(backend, arguments):
    if backend != "xla" and 1j in arguments:
        arguments = (2.0, np.array(3.0, np.float32))
    scalar = (((), ()), ((), ()))

    def out_type(dot):
        product = jax.make_jaxpr(lambda a, b: dot(a, b, scalar))
        return product(*arguments).out_avals[0]

    ours, stock = out_type(jax_npu.dot_general), out_type(lax.dot_general)
    assert (ours, ours.weak_type) == (stock, stock.weak_type)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("inputs", ORIENTATIONS)
def test_a_value_that_is_not_finite_reaches_its_row_and_no_other(
    backend, rng, value, inputs
):
    lhs, rhs = operands(rng, inputs, {"m": 19, "k": 21, "n": 18})
    lhs_labels = inputs.split(",")[0]
    at = tuple({"m": 5, "k": 20}[c] for c in lhs_labels)
    lhs = lhs.at[at].set(value)
    numbers, _ = dot_arguments(inputs)
    out = np.asarray(jax_npu.dot_general(lhs, rhs, numbers))
    stock = np.asarray(lax.dot_general(lhs, rhs, numbers))
    assert not np.isfinite(out[5]).any()
    assert np.isfinite(np.delete(out, 5, 0)).all()
    np.testing.assert_array_equal(out[5], stock[5])


@pytest.mark.parametrize("dtype", [F32, BF16])
def test_a_value_that_is_not_finite_reaches_its_column_and_no_other(
    backend, rng, dtype
):
    lhs, rhs = operands(rng, "mk,kn", {"m": 19, "k": 21, "n": 18}, (dtype, dtype))
    out = np.asarray(
        jax_npu.dot_general(lhs, rhs.at[3, 17].set(np.nan), ROWS_COLUMNS), np.float32
    )
    assert np.isnan(out[:, 17]).all()
    assert np.isfinite(out[:, :17]).all()


@pytest.mark.parametrize("preferred", [F32, BF16])
@pytest.mark.parametrize("bits", [0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7FC00000])
def test_a_nan_stays_nan_whatever_its_bits(backend, bits, preferred):
    lhs = np.array([[bits]], np.uint32).view(np.float32)
    out = jax_npu.dot_general(
        lhs, jnp.ones((1, 1)), ROWS_COLUMNS, preferred_element_type=preferred
    )
    assert np.isnan(np.asarray(out, np.float32)).all()


def test_infinity_times_zero_and_infinity_minus_infinity_are_nan(backend):
    lhs = jnp.array([[np.inf, 1.0], [np.inf, -np.inf], [np.inf, np.inf]], F32)
    rhs = jnp.array([[0.0, 1.0], [1.0, 1.0]], F32)
    out = jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS)
    expected = [[np.nan, np.inf], [np.nan, np.nan], [np.nan, np.inf]]
    np.testing.assert_array_equal(out, expected)


def test_f32_beyond_the_largest_bf16_rounds_to_infinity(custom_call_backend):
    largest = jnp.finfo(BF16).max.astype(np.float32)
    beyond = np.finfo(np.float32).max
    out = jax_npu.dot_general(
        jnp.array([[largest], [beyond], [-beyond]]), jnp.ones((1, 1)), ROWS_COLUMNS
    )
    np.testing.assert_array_equal(out[:, 0], [largest, np.inf, -np.inf])


def test_rounding_of_operands_is_to_nearest_even(custom_call_backend):
    half_ulp = 2.0**-8
    lhs = jnp.array([1 + half_ulp, 1 + 3 * half_ulp, 1 + 1.01 * half_ulp], F32)[:, None]
    out = jax_npu.dot_general(lhs, jnp.ones((1, 1)), ROWS_COLUMNS)
    np.testing.assert_array_equal(out[:, 0], [1, 1 + 4 * half_ulp, 1 + 2 * half_ulp])


def test_operands_may_have_more_dimensions_than_the_alphabet_has_letters(backend, rng):
    lhs, rhs = rng.integers(-3, 4, (2, 5)), rng.integers(-3, 4, (5, 3))
    expected = (lhs @ rhs).astype(F32)
    ones = (1,) * 28
    lhs = jnp.asarray(lhs, F32).reshape(2, *ones, 5)
    rhs = jnp.asarray(rhs, F32).reshape(5, *ones, 3)

    def product(lhs, rhs):
        return jax_npu.dot_general(lhs, rhs, (((29,), (0,)), ((), ())))

    out = jax.jit(product)(lhs, rhs)
    np.testing.assert_array_equal(out, expected.reshape(2, *ones, *ones, 3))
    gradient = jax.grad(lambda lhs: product(lhs, rhs).sum())(lhs)
    assert gradient.shape == lhs.shape
