"""What the environment says about a product is part of what jax traces."""

import jax
import jax.numpy as jnp
import pytest

import jax_npu

X = jnp.ones((2, 2))
VARIABLES = [
    ("sim", "JAX_NPU_CHECK", "off", "always"),
    ("sim", "JAX_NPU_STRICT", "0", "1"),
    ("sim", "JAX_NPU_DEVICE", "npu1", "npu2"),
    ("host", "JAX_NPU_SMALL_PRODUCTS", "xla", "call"),
]


@pytest.mark.parametrize(("backend", "name", "one", "other"), VARIABLES)
def test_the_next_trace_follows_a_changed_variable(
    monkeypatch, backend, name, one, other
):
    def program(value):
        monkeypatch.setenv(name, value)
        square = jax.jit(lambda x: jax_npu.matmul(x, x, backend=backend))
        return square.lower(X).as_text()

    assert program(one) == program(one)
    assert program(one) != program(other)


@pytest.mark.parametrize(("backend", "name", "one", "other"), VARIABLES)
def test_an_offloaded_function_is_traced_again_when_a_variable_changes(
    monkeypatch, backend, name, one, other
):
    square = jax.jit(lambda x: x @ x)

    def program(value):
        monkeypatch.setenv(name, value)
        with jax_npu.offload(backend=backend):
            return square.lower(X).as_text()

    assert program(one) == program(one)
    assert program(one) != program(other)
