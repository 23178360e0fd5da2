"""Which backend is chosen, and when a jitted function follows the choice."""

import importlib.metadata
import threading

import jax
import jax.numpy as jnp
import pytest

import jax_npu
from jax_npu import backend_choice
from jax_npu.runtime import extension

ONES = jnp.ones((2, 2))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("JAX_NPU_BACKEND", raising=False)


def traced_backend(**options):
    """The backend on which a product that is traced now would run."""
    (row,) = jax_npu.explain(lambda x: jax_npu.matmul(x, x, **options), ONES).rows
    return row.backend


def test_argument_beats_context_beats_environment_beats_auto(monkeypatch):
    assert traced_backend() == "host"
    monkeypatch.setenv("JAX_NPU_BACKEND", "xla")
    assert traced_backend() == "xla"
    with jax_npu.backend("host"):
        assert traced_backend() == "host"
        assert traced_backend(backend="xla") == "xla"
    assert traced_backend() == "xla"
    assert traced_backend(backend="auto") == "host"


def test_only_the_backend_that_is_asked_for_is_looked_at(monkeypatch):
    """A product on the host loads no XRT and opens no NPU."""

    def look_for_xrt():
        raise AssertionError("backend npu was looked at")

    monkeypatch.setitem(backend_choice._BACKENDS, "npu", look_for_xrt)
    assert traced_backend(backend="host") == "host"
    with jax_npu.backend("xla"):
        assert traced_backend() == "xla"


def test_auto_in_a_context_overrides_the_environment(monkeypatch):
    monkeypatch.setenv("JAX_NPU_BACKEND", "xla")
    with jax_npu.backend("auto"):
        assert traced_backend() == "host"


def test_an_empty_environment_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("JAX_NPU_BACKEND", "")
    assert traced_backend() == "host"


def test_every_product_takes_the_backend_as_an_argument():
    rows_columns = (((1,), (0,)), ((), ()))
    for name in ("host", "xla"):
        for product in (
            lambda x, name=name: jax_npu.dot_general(x, x, rows_columns, backend=name),
            lambda x, name=name: jax_npu.matmul(x, x, backend=name),
            lambda x, name=name: jax_npu.einsum("ab,bc->ca", x, x, backend=name),
            lambda x, name=name: jax_npu.einsum("...b,bc->...c", x, x, backend=name),
        ):
            (row,) = jax_npu.explain(product, ONES).rows
            assert row.backend == name


def test_nested_contexts_restore_the_outer_one():
    with jax_npu.backend("xla"):
        with jax_npu.backend("host"):
            assert jax_npu.resolve_backend() == "host"
        assert jax_npu.resolve_backend() == "xla"
        with jax_npu.backend("xla"):
            assert jax_npu.resolve_backend() == "xla"
        assert jax_npu.resolve_backend() == "xla"


def test_an_exception_in_a_context_restores_the_outer_one():
    with jax_npu.backend("xla"):
        with pytest.raises(KeyError), jax_npu.backend("host"):
            raise KeyError
        assert jax_npu.resolve_backend() == "xla"


def test_a_context_of_a_bad_backend_changes_nothing():
    with jax_npu.backend("xla"):
        with pytest.raises(ValueError, match="'gpu'"), jax_npu.backend("gpu"):
            pass
        assert jax_npu.resolve_backend() == "xla"


def test_a_jitted_function_retraces_when_and_only_when_the_backend_changes():
    traced = []

    @jax.jit
    def product(x):
        traced.append(jax_npu.resolve_backend())
        return jax_npu.matmul(x, x)

    for name in ("host", "host", "xla", "xla", "host", "xla"):
        with jax_npu.backend(name):
            product(ONES)
            product(ONES + 1)
    assert traced == ["host", "xla"]


@pytest.mark.parametrize("name", ["host", "xla"])
def test_the_compiled_program_is_that_of_the_context(name):
    @jax.jit
    def product(x):
        return jax_npu.matmul(x, x)

    for other in ("host", "xla"):
        with jax_npu.backend(other):
            product(ONES)
    with jax_npu.backend(name):
        hlo = product.lower(ONES).compile().as_text()
    assert ("xdna_gemm_host" in hlo) == (name == "host")


def test_jitted_results_follow_the_context():
    third = jnp.full((1, 1), 1 / 3)
    square = jax.jit(lambda x: jax_npu.matmul(x, x))
    results = {}
    for name in ("xla", "host", "xla"):
        with jax_npu.backend(name):
            results[name] = float(square(third)[0, 0])
    assert results["xla"] == float(third[0, 0] ** 2)
    assert results["host"] == float(third.astype("bfloat16")[0, 0]) ** 2


def test_the_gradient_of_a_function_follows_the_context():
    gradient = jax.grad(lambda x: jax_npu.matmul(x, x).sum())
    for name in ("xla", "host"):
        with jax_npu.backend(name):
            rows = jax_npu.explain(gradient, ONES).rows
        assert {row.backend for row in rows} == {name}


def test_a_thread_has_its_own_context():
    inside, may_leave, seen = threading.Event(), threading.Event(), {}

    def other():
        with jax_npu.backend("xla"):
            inside.set()
            may_leave.wait(10)
            seen["other"] = traced_backend()

    with jax_npu.backend("host"):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        seen["this"] = traced_backend()
        may_leave.set()
        thread.join()
        assert jax_npu.resolve_backend() == "host"
    assert seen == {"other": "xla", "this": "host"}


def test_a_new_thread_does_not_inherit_the_context():
    seen = []
    with jax_npu.backend("xla"):
        thread = threading.Thread(target=lambda: seen.append(traced_backend()))
        thread.start()
        thread.join()
    assert seen == ["host"]


def test_backends_lists_each_with_how_or_why_not():
    listed = jax_npu.backends()
    assert list(listed) == ["npu", "sim", "host", "xla"]
    for name, entry in listed.items():
        assert entry.name == name
        assert entry.detail
    assert listed["xla"].available
    assert listed["host"].available
    assert "instruction set" in listed["host"].detail


def test_the_host_backend_names_the_forced_instruction_set(monkeypatch):
    monkeypatch.setenv("JAX_NPU_HOST_ISA", "portable")
    assert "portable" in jax_npu.backends()["host"].detail


AUTO_TWICE = """
import jax.numpy as jnp, jax_npu
for size in (2, 3):
    jax_npu.matmul(jnp.ones((size, size)), jnp.ones((size, size)))
"""


def test_auto_prints_one_line_that_names_its_choice_and_why(run_python):
    run = run_python(AUTO_TWICE)
    assert run.returncode == 0, run.stderr
    (line,) = run.stderr.splitlines()
    assert line.startswith("jax-npu: backend auto is host (CPU, instruction set ")
    assert "npu: " in line
    assert run.stdout == ""


def test_auto_without_a_backend_that_runs_says_why_and_what_does(run_python):
    program = "import jax_npu; jax_npu.resolve_backend()"
    done = run_python(program, JAX_NPU_HOST_ISA="bogus")
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("ValueError")]
    assert "JAX_NPU_HOST_ISA must be one" in line
    assert "use backend xla" in line


def test_a_backend_asked_for_prints_nothing(run_python):
    run = run_python(AUTO_TWICE, JAX_NPU_BACKEND="host")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_bad_environment_variable_ends_the_program_with_its_name(run_python):
    run = run_python(AUTO_TWICE, JAX_NPU_BACKEND="tpu")
    assert run.returncode == 1
    assert "got 'tpu'" in run.stderr
    assert "JAX_NPU_BACKEND" in run.stderr


def test_the_package_has_a_version_and_only_its_own_policies():
    assert jax_npu.__version__ == importlib.metadata.version("jax-npu")
    names = {}
    exec("from jax_npu.checkpoint_policies import *", names)
    names.pop("__builtins__")
    assert sorted(names) == [
        "dots_saveable",
        "dots_with_no_batch_dims_saveable",
        "offload_dot_with_no_batch_dims",
    ]


@pytest.mark.parametrize(
    ("chips", "advice"), [([], "has no AMD XDNA NPU"), (["npu1"], "install it, see")]
)
def test_to_install_xrt_is_advice_for_machines_with_an_npu(chips, advice, monkeypatch):
    missing = f"{extension.NO_XRT} (libxrt_coreutil.so.2); install it, see"
    monkeypatch.setattr(extension, "library_path", lambda name: name)
    monkeypatch.setattr(extension, "device_error", lambda library: missing)
    monkeypatch.setattr(backend_choice, "npus", lambda: chips)
    assert advice in jax_npu.backends()["npu"].detail
