"""Operands and options that are refused: when, and with which message."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jax_npu
from jax_npu import other_dtypes

ROWS_COLUMNS = (((1,), (0,)), ((), ()))


def trace(lhs, rhs, numbers=ROWS_COLUMNS, **options):
    """Traces the product without running it, so that it raises at trace time."""
    return jax.make_jaxpr(lambda a, b: jax_npu.dot_general(a, b, numbers, **options))(
        lhs, rhs
    )


def struct(*shape, dtype="float32"):
    return jax.ShapeDtypeStruct(shape, dtype)


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setenv("JAX_NPU_STRICT", "1")


@pytest.mark.parametrize(
    "dtype", ["int32", "float16", "complex64", "bool", "int8", "float8_e4m3fn"]
)
@pytest.mark.parametrize("product", ["dot_general", "matmul", "einsum"])
def test_other_dtypes_are_left_to_lax(custom_call_backend, rng, product, dtype):
    a, b = (jnp.asarray(rng.integers(-3, 4, (5, 5)), dtype) for _ in range(2))
    arguments = {
        "dot_general": (a, b, ROWS_COLUMNS),
        "matmul": (a, b),
        "einsum": ("ab,bc->ac", a, b),
    }[product]
    stock = lax.dot_general if product == "dot_general" else getattr(jnp, product)
    out, expected = getattr(jax_npu, product)(*arguments), stock(*arguments)
    assert out.dtype == expected.dtype
    np.testing.assert_array_equal(out, expected)


def test_each_dtype_that_is_left_to_lax_is_said_once(custom_call_backend, capsys):
    other_dtypes._say_once.cache_clear()
    for dtype in ("int16", "uint16", "int16"):
        ones = jnp.ones((2, 2), dtype)
        jax_npu.matmul(ones, ones)
    first, second = capsys.readouterr().err.splitlines()
    assert "products of int16 are left to XLA" in first
    assert "products of uint16 are left to XLA" in second


def test_a_wrapper_around_lax_leaves_our_product_alone(
    custom_call_backend, rng, monkeypatch
):
    a, b = (rng.integers(-3, 4, (4, 4)).astype(np.float32) for _ in range(2))
    monkeypatch.setattr(jax.lax, "dot_general", lambda *_, **__: jnp.zeros((4, 4)))
    np.testing.assert_array_equal(jax_npu.dot_general(a, b, ROWS_COLUMNS), a @ b)


def test_our_product_in_the_place_of_that_of_lax_runs(
    custom_call_backend, rng, monkeypatch
):
    a, b = (rng.integers(-3, 4, (4, 4)).astype(np.float32) for _ in range(2))
    monkeypatch.setattr(jax.lax, "dot_general", jax_npu.dot_general)
    for backend in (custom_call_backend, "xla"):
        product = jax.lax.dot_general(a, b, ROWS_COLUMNS, backend=backend)
        np.testing.assert_array_equal(product, a @ b)


@pytest.mark.parametrize("dtype", ["int32", "float16", "complex64", "bool", "uint8"])
@pytest.mark.parametrize("side", [0, 1])
def test_other_dtypes_are_refused_by_name_where_strict(
    custom_call_backend, dtype, side, strict
):
    operands = [struct(3, 4), struct(4, 5)]
    operands[side] = operands[side].update(dtype=dtype)
    with pytest.raises(TypeError, match=dtype):
        trace(*operands)
    with pytest.raises(TypeError, match=dtype):
        trace(struct(3, 4, dtype=dtype), struct(4, 5, dtype=dtype))


def test_float64_is_refused_by_name_where_strict(custom_call_backend, strict):
    with jax.enable_x64(True):
        lhs, rhs = np.ones((3, 4)), np.ones((4, 5))
        with pytest.raises(TypeError, match="float64"):
            trace(lhs, rhs)
        with pytest.raises(TypeError, match="float64"):
            jax_npu.dot_general(lhs, rhs, ROWS_COLUMNS)


@pytest.mark.parametrize("preferred", ["float16", "int32"])
def test_other_result_types_are_refused_by_name_where_strict(
    custom_call_backend, preferred, strict
):
    with pytest.raises(TypeError, match=preferred):
        trace(struct(3, 4), struct(4, 5), preferred_element_type=preferred)


@pytest.mark.parametrize("product", ["matmul", "einsum"])
def test_matmul_and_einsum_refuse_other_dtypes_by_name_where_strict(
    custom_call_backend, product, strict
):
    ones = jnp.ones((3, 3), jnp.int32)
    arguments = (ones, ones) if product == "matmul" else ("ab,bc->ac", ones, ones)
    with pytest.raises(TypeError, match="int32"):
        getattr(jax_npu, product)(*arguments)


def test_the_error_on_a_dtype_names_the_way_out(custom_call_backend, strict):
    with pytest.raises(TypeError, match=r"needs float32 or bfloat16.*cast.*xla"):
        trace(struct(3, 4, dtype="int32"), struct(4, 5))


def test_other_dtypes_run_on_xla():
    ones = jnp.ones((3, 3), jnp.int32)
    out = jax_npu.dot_general(ones, ones, ROWS_COLUMNS, backend="xla")
    np.testing.assert_array_equal(out, np.full((3, 3), 3))


@pytest.mark.parametrize(
    ("lhs", "rhs", "numbers"),
    [
        ((3, 4), (5, 6), ROWS_COLUMNS),  # sizes differ
        ((3, 4), (4, 5), (((1,), ()), ((), ()))),  # one side only
        ((3, 4), (4, 5), (((2,), (0,)), ((), ()))),  # no such dimension
        ((3, 4), (4, 5), (((-3,), (0,)), ((), ()))),
        ((3, 3), (3, 3), (((1, 1), (0, 1)), ((), ()))),  # twice the same
        ((3, 3), (3, 3), (((1,), (0,)), ((1,), (1,)))),  # contracted and batch
        ((2, 3, 4), (5, 4, 6), (((2,), (1,)), ((0,), (0,)))),  # batch sizes differ
        ((2, 3, 4), (2, 4, 6), (((2,), (1,)), ((0,), ()))),
        ((), (3,), (((0,), (0,)), ((), ()))),  # a scalar has no dimension
    ],
)
def test_bad_dimension_numbers_raise_what_lax_raises(backend, lhs, rhs, numbers):
    with pytest.raises((TypeError, ValueError, IndexError)) as stock:
        jax.eval_shape(
            lambda a, b: lax.dot_general(a, b, numbers), struct(*lhs), struct(*rhs)
        )
    with pytest.raises(stock.type) as ours:
        trace(struct(*lhs), struct(*rhs), numbers)
    assert str(ours.value) == str(stock.value)


@pytest.mark.parametrize("shapes", [((3, 4), (5, 6)), ((2, 3, 4), (3, 4, 5))])
def test_bad_shapes_of_matmul_raise_what_jax_numpy_raises(backend, shapes):
    operands = [jnp.ones(shape) for shape in shapes]
    with pytest.raises((TypeError, ValueError)) as stock:
        jnp.matmul(*operands)
    with pytest.raises(stock.type):
        jax_npu.matmul(*operands)


def test_a_scalar_operand_of_matmul_raises_what_jax_numpy_raises(backend):
    with pytest.raises((TypeError, ValueError)) as stock:
        jnp.matmul(1.0, jnp.ones((2, 2)))
    with pytest.raises(stock.type):
        jax_npu.matmul(1.0, jnp.ones((2, 2)))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ab,bc->ad", ((2, 3), (3, 4))),  # d from nowhere
        ("ab,bc->ac", ((2, 3), (4, 5))),  # sizes differ
        ("ab,bc->ac", ((2, 3, 4), (3, 4))),  # wrong rank
        ("ab,bc->aa", ((2, 3), (3, 4))),
    ],
)
def test_bad_einsums_raise_what_jax_numpy_raises(backend, subscripts, shapes):
    operands = [jnp.ones(shape) for shape in shapes]
    with pytest.raises((TypeError, ValueError)) as stock:
        jnp.einsum(subscripts, *operands)
    with pytest.raises(stock.type):
        jax_npu.einsum(subscripts, *operands)


def test_an_unknown_backend_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"npu, sim, host, xla, auto, got 'gpu'"):
        trace(struct(3, 4), struct(4, 5), backend="gpu")
    with pytest.raises(ValueError, match="got 'gpu'"):
        jax_npu.backend("gpu")


@pytest.mark.parametrize("name", ["npu", "sim"])
def test_a_missing_backend_is_an_error_with_reason_and_remedy(
    name, monkeypatch, tmp_path
):
    monkeypatch.setenv("JAX_NPU_LIBRARY_DIR", str(tmp_path))  # nothing is built there
    entry = jax_npu.backends()[name]
    assert not entry.available
    with pytest.raises(ValueError, match=f"'{name}' cannot run here") as error:
        trace(struct(3, 4), struct(4, 5), backend=name)
    assert entry.detail in str(error.value)
    runnable = [e.name for e in jax_npu.backends().values() if e.available]
    assert f"use one of {', '.join(runnable)}, auto" in str(error.value)
    with pytest.raises(ValueError, match="cannot run here"):
        jax_npu.backend(name)


def test_a_backend_where_offload_takes_a_function_is_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"got 'host'.* offload\(backend=\.\.\.\)"):
        jax_npu.offload("host")


def test_a_bad_environment_variable_is_named(monkeypatch):
    monkeypatch.setenv("JAX_NPU_BACKEND", "tpu")
    with pytest.raises(ValueError, match=r"got 'tpu'.*JAX_NPU_BACKEND"):
        trace(struct(3, 4), struct(4, 5))


@pytest.mark.parametrize(
    "algorithm", ["F64_F64_F64", "F16_F16_F32", "F16_F16_F16", "BF16_BF16_BF16"]
)
def test_an_algorithm_without_bf16_products_is_refused(custom_call_backend, algorithm):
    with pytest.raises(NotImplementedError, match=f"{algorithm}.*xla"):
        trace(struct(3, 4), struct(4, 5), precision=lax.DotAlgorithmPreset[algorithm])


def test_a_bad_precision_raises_what_lax_raises(backend):
    with pytest.raises(ValueError, match="exact"):
        trace(struct(3, 4), struct(4, 5), precision="exact")


def test_a_bad_instruction_set_is_refused_with_those_that_run(monkeypatch):
    monkeypatch.setenv("JAX_NPU_HOST_ISA", "mmx")
    with pytest.raises(ValueError, match=r"portable\), got 'mmx'; unset it"):
        trace(struct(3, 4), struct(4, 5), backend="host")
    entry = jax_npu.backends()["host"]
    assert not entry.available
    assert "mmx" in entry.detail


def test_an_instruction_set_that_turns_bad_after_the_trace_is_an_error(monkeypatch):
    ones = jnp.ones((2, 2))
    product = jax.jit(lambda a, b: jax_npu.matmul(a, b, backend="host"))
    product(ones, ones).block_until_ready()
    monkeypatch.setenv("JAX_NPU_HOST_ISA", "mmx")
    # jax.errors.JaxRuntimeError, or ValueError where jax runs it in this thread
    with pytest.raises(Exception, match=r"xdna_gemm_host: JAX_NPU_HOST_ISA.*mmx"):
        product(ones, ones).block_until_ready()
    monkeypatch.delenv("JAX_NPU_HOST_ISA")
    np.testing.assert_array_equal(product(ones, ones), np.full((2, 2), 2))
