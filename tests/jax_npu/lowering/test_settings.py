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
    ("sim", "JAX_NPU_MACHINE", "7940hs", "8700g"),
    ("sim", "JAX_NPU_MACHINE", "7940hs", "hx370"),
    ("sim", "JAX_NPU_PLACE", "npu", "host"),
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


def test_the_next_eager_product_follows_a_changed_variable(monkeypatch, events):
    checks = []
    for mode in "always", "off", "always":
        monkeypatch.setenv("JAX_NPU_CHECK", mode)
        before = events("checks")
        for _ in range(3):
            jax_npu.matmul(X, X, backend="sim").block_until_ready()
        checks.append(events("checks") - before)
    assert checks == [3, 0, 3]


def test_the_next_trace_follows_a_changed_profile(monkeypatch, tmp_path):
    path = tmp_path / "mine.toml"
    monkeypatch.setenv("JAX_NPU_MACHINE", str(path))

    def program(clock):
        path.write_text(f'base = "7940hs"\nclock_hz = {clock}\n')
        square = jax.jit(lambda x: jax_npu.matmul(x, x, backend="sim"))
        return square.lower(X).as_text()

    assert program(1e9) == program(1e9)
    assert program(1e9) != program(1.5e9)


def test_the_host_does_not_read_the_machine(monkeypatch):
    monkeypatch.setenv("JAX_NPU_MACHINE", "no such machine")
    jax_npu.matmul(X, X, backend="host")
    with pytest.raises(ValueError, match="machine must be one of"):
        jax_npu.matmul(X, X, backend="sim")
