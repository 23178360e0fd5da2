"""Products of a program for an NPU run where they are placed, and nowhere else."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

import jax_npu

PLACE, OBJECTIVE, MACHINE = "JAX_NPU_PLACE", "JAX_NPU_OBJECTIVE", "JAX_NPU_MACHINE"


@pytest.fixture(autouse=True)
def on_sim(monkeypatch):
    for name in PLACE, OBJECTIVE, MACHINE, "JAX_NPU_DEVICE":
        monkeypatch.delenv(name, raising=False)
    with jax_npu.backend("sim"):
        yield


@pytest.fixture
def operands(rng):
    shapes = (64, 128), (128, 96)
    return [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes]


def calls(function, *args):
    """How many custom calls of each side a program has."""
    fresh = jax.jit(lambda *args: function(*args))  # jit keeps what it has traced
    text = fresh.lower(*args).as_text()
    return {side: text.count(f"@xdna_gemm_{side}(") for side in ("sim", "host")}


def by_name(x, w):
    with jax.named_scope("first"):
        y = jax_npu.matmul(x, w)
    with jax.named_scope("second"):
        return y + jax_npu.matmul(x, 2 * w)


def test_on_the_virtual_npu_all_is_the_arrays_unless_asked(monkeypatch, operands):
    assert calls(jax_npu.matmul, *operands) == {"sim": 1, "host": 0}
    monkeypatch.setenv(PLACE, "host")
    assert calls(jax_npu.matmul, *operands) == {"sim": 0, "host": 1}
    monkeypatch.setenv(PLACE, "auto")  # the launch alone takes longer than the host
    assert calls(jax_npu.matmul, *operands) == {"sim": 0, "host": 1}
    monkeypatch.setenv(PLACE, "npu")
    assert calls(jax_npu.matmul, *operands) == {"sim": 1, "host": 0}


def test_auto_leaves_to_the_array_what_it_does_sooner(monkeypatch, tmp_path):
    slow_host = tmp_path / "slow.toml"
    slow_host.write_text('base = "7940hs"\n[cpu]\ngflops_per_core = 0.5\n')
    monkeypatch.setenv(MACHINE, str(slow_host))
    monkeypatch.setenv(PLACE, "auto")
    x, w = jnp.ones((256, 768)), jnp.ones((768, 768))
    assert calls(jax_npu.matmul, x, w) == {"sim": 1, "host": 0}
    assert calls(lambda x: x @ x.T, jnp.ones((8, 8))) == {"sim": 0, "host": 0}


@pytest.mark.parametrize("key", [(64, 128, 96), (1, 64, 128, 96)])
def test_sizes_force_a_side(operands, key):
    with jax_npu.placement({key: "host"}):
        assert calls(jax_npu.matmul, *operands) == {"sim": 0, "host": 1}
        assert calls(lambda x: jax_npu.matmul(x, x.T), operands[0])["sim"] == 1
    assert calls(jax_npu.matmul, *operands) == {"sim": 1, "host": 0}


def test_a_name_forces_its_scope_and_the_first_rule_that_fits_decides(operands):
    assert calls(by_name, *operands) == {"sim": 2, "host": 0}
    with jax_npu.placement({"second": "host"}):
        assert calls(by_name, *operands) == {"sim": 1, "host": 1}
    with jax_npu.placement({"second": "npu", (64, 128, 96): "host"}):
        assert calls(by_name, *operands) == {"sim": 1, "host": 1}
    with jax_npu.placement({(64, 128, 96): "host", "second": "npu"}):
        assert calls(by_name, *operands) == {"sim": 0, "host": 2}


def test_a_forced_side_is_stronger_than_the_variable(monkeypatch, operands):
    monkeypatch.setenv(PLACE, "host")
    with jax_npu.placement({(64, 128, 96): "npu"}):
        assert calls(jax_npu.matmul, *operands) == {"sim": 1, "host": 0}


def test_a_jitted_function_is_traced_again_when_the_placement_changes(operands):
    multiply = jax.jit(jax_npu.matmul)
    before = jax_npu.counters()
    multiply(*operands).block_until_ready()
    with jax_npu.placement({(64, 128, 96): "host"}):
        multiply(*operands).block_until_ready()
    counted = jax_npu.counters() - before
    assert (counted.calls, counted.host_calls) == (2, 1)
    assert counted.flops == 2 * counted.host_flops == 2 * 2 * 64 * 128 * 96


def test_offloaded_products_are_placed_too(monkeypatch, operands):
    def loss(w, x):
        return ((x @ w) ** 2).sum()

    x, w = operands
    gradient = jax.value_and_grad(jax_npu.offload(loss))
    assert calls(gradient, w, x) == {"sim": 2, "host": 0}
    with jax_npu.placement({(128, 64, 96): "host", (96, 64, 128): "host"}):
        assert calls(gradient, w, x) == {"sim": 1, "host": 1}
    with jax_npu.offload(), jax_npu.placement({(64, 128, 96): "host"}):
        assert calls(lambda x, w: x @ w, x, w) == {"sim": 0, "host": 1}
    monkeypatch.setenv(PLACE, "host")
    assert calls(gradient, w, x) == {"sim": 0, "host": 2}


def test_on_the_host_the_result_is_that_of_backend_host(operands):
    with jax_npu.placement({(64, 128, 96): "host"}):
        placed = jax.jit(jax_npu.matmul)(*operands)
    with jax_npu.backend("host"):
        expected = jax.jit(jax_npu.matmul)(*operands)
    assert np.array_equal(placed, expected)


def test_explain_shows_the_side_and_what_each_would_take(operands):
    x, w = operands
    with jax_npu.placement({(64, 128, 96): "host"}):
        found = jax_npu.explain(
            lambda x, w: jax_npu.matmul(jax_npu.matmul(x, w), w.T), x, w
        )
    rows = {(row.m, row.k, row.n): row for row in found.rows}
    assert rows[64, 128, 96].backend == "host"
    assert rows[64, 96, 128].backend == "sim"
    one = rows[64, 96, 128].predicted
    assert 0 < one.host_seconds < one.npu_seconds
    assert one.padding > 1
    assert one.ddr_bytes > 2 * (64 * 96 + 96 * 128) + 4 * 64 * 128
    # They wait for each other, so the times add up.
    expected = rows[64, 128, 96].predicted.host_seconds + one.npu_seconds
    assert found.seconds["placed"] == pytest.approx(expected, rel=0.1)
    with jax_npu.backend("host"):
        assert jax_npu.explain(jax_npu.matmul, x, w).seconds == {}


def test_a_row_of_the_table_is_one_line_of_80_columns():
    """With the largest products of GPT-2: the head's, and those of attention."""

    def program(x, w, heads):
        half = x.astype("bfloat16")
        attention = jnp.einsum("btd,bsd->bts", heads, heads.astype("bfloat16"))
        return jax_npu.matmul(half, w), jax_npu.matmul(x, w[:, :768]), attention

    x, w, heads = (
        jax.ShapeDtypeStruct(shape, jnp.float32)
        for shape in ((1024, 768), (768, 50257), (192, 256, 64))
    )
    with jax_npu.placement({(1024, 768, 768): "host"}):
        found = jax_npu.explain(jax_npu.offload(program), x, w, heads)
    console = Console(file=io.StringIO(), width=80)
    console.print(found)
    text = console.file.getvalue()
    lines = [line for line in text.splitlines() if " x " in line and "%" in line]
    assert len(found.rows) == len(lines) == 3
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    (line,) = (line for line in lines if "1,024 x 768 x 768" in line)
    (row,) = (row for row in found.rows if row.n == 768)
    for word in "f32 x f32", "host", f"{row.predicted.host_seconds * 1e3:.2f}":
        assert word in line
    assert "as placed" in text


def test_what_explain_shows_is_what_is_lowered(monkeypatch, operands):
    def loss(w, x):
        for _ in range(3):
            x = jnp.tanh(jax_npu.matmul(x, w))
        return jnp.sum(jax_npu.matmul(x, x.T) ** 2)

    monkeypatch.setenv(PLACE, "auto")
    monkeypatch.setenv(MACHINE, "hx370")
    w, x = jnp.ones((512, 512)), jnp.ones((256, 512))
    for objective in "time", "energy":
        monkeypatch.setenv(OBJECTIVE, objective)
        gradient = jax.grad(loss)  # jit keeps what it has traced
        shown = {"sim": 0, "host": 0}
        for row in jax_npu.explain(gradient, w, x).rows:
            shown[row.backend] += row.calls
        assert calls(gradient, w, x) == shown


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (PLACE, "gpu", "JAX_NPU_PLACE must be one of auto, npu, host, got 'gpu'"),
        (OBJECTIVE, "cost", "JAX_NPU_OBJECTIVE must be one of time, energy, got"),
        (OBJECTIVE, "energy", "objective energy needs the watts of 7940hs"),
    ],
)
def test_a_bad_variable_is_one_clear_line(monkeypatch, operands, name, value, message):
    monkeypatch.setenv(PLACE, "auto")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        calls(jax_npu.matmul, *operands)


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({(1, 2): "host"}, r"needs sizes \(m, k, n\) or .*, got \(1, 2\)"),
        ({(1, 0, 2): "host"}, r"whole numbers above 0.*got \(1, 0, 2\)"),
        ({64: "host"}, "got 64"),
        ({"loss": "gpu"}, "must name npu or host for 'loss', got 'gpu'"),
    ],
)
def test_a_bad_placement_is_one_clear_line(sides, message):
    with pytest.raises(ValueError, match=message):
        jax_npu.placement(sides)
