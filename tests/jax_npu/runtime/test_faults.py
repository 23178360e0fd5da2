"""Products on a virtual NPU that fails: runs again, errors, and the host's results."""

import os
import signal
import threading

import jax
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime.environment import IMAGE_CACHE_MB

# Faults of a run that the device reports.
REPORTED = ["timeout", "abort", "error", "evicted"]
# Faults of a run that ends with COMPLETED, although the result is wrong.
SILENT = ["garbage", "untouched"]
CAUSES = {
    "timeout": "TIMEOUT",
    "abort": "ABORT",
    "error": "ERROR",
    "evicted": "the NPU took the context away for another program",
    "no-memory": "ulimit -l unlimited",
    "no-context": "all contexts of the NPU may be taken",
}


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setenv("JAX_NPU_CHECK", "always")


@pytest.fixture
def product(rng):
    """A function that computes an (m, k, n) product of integers and compares it."""

    def product(m=70, k=90, n=300):
        a, b = (rng.integers(-4, 5, s).astype(np.float32) for s in ((m, k), (k, n)))
        # A new function each time, since variables are read when it is lowered.
        multiply = jax.jit(lambda a, b: jax_npu.matmul(a, b, backend="sim"))
        np.testing.assert_array_equal(multiply(a, b), a @ b)

    return product


@pytest.mark.parametrize("fault", REPORTED)
@pytest.mark.parametrize("run", [1, 2])
def test_a_run_that_fails_is_tried_again(virtual_xrt, events, product, fault, run):
    virtual_xrt.set_faults(f"{fault}@{run}")
    for _ in range(3):
        product()
    assert virtual_xrt.faults[fault] == 1
    assert (events("retries"), events("host_products")) == (1, 0)


@pytest.mark.parametrize("fault", ["no-memory", "no-context"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_request_that_the_device_refuses_at_first_is_repeated(
    virtual_xrt, events, product, fault, call
):
    # After a failed run a new context and new buffers are needed.
    virtual_xrt.set_faults(f"abort@1,abort@3,{fault}@{call}")
    for _ in range(3):
        product()
    assert virtual_xrt.faults[fault] == 1
    assert events("failures") == 0


@pytest.mark.parametrize("fault", SILENT)
@pytest.mark.parametrize("run", [1, 2, 3])
def test_a_wrong_result_is_computed_by_the_host(
    virtual_xrt, events, product, always, fault, run
):
    virtual_xrt.set_faults(f"{fault}@{run}")
    for _ in range(3):
        product()
    assert virtual_xrt.faults[fault] == 1
    assert (events("mismatches"), events("host_products")) == (1, 1)


# These run in processes of their own, as a process only prints its first ten lines of a
# kind.


@pytest.mark.parametrize("fault", REPORTED)
def test_a_run_that_is_tried_again_is_reported_in_one_line(run_python, fault):
    done = run_python(PRODUCT, JAX_NPU_SIM_FAULTS=f"{fault}@2")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert CAUSES[fault] in line
    assert line.endswith("; the run is tried again")


@pytest.mark.parametrize("fault", SILENT)
def test_a_wrong_result_is_reported_in_one_line(run_python, fault):
    # The first run is the self-test.
    done = run_python(PRODUCT, JAX_NPU_SIM_FAULTS=f"{fault}@3", JAX_NPU_CHECK="always")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "the NPU's product of (65, 65) by (65, 65) is wrong: " in line
    assert line.endswith("; the host computes it")


def test_many_lines_of_a_kind_are_only_counted(run_python):
    program = f"{PRODUCT}\nprint(jax_npu.npu_events()['retries'])"
    done = run_python(
        program.replace("range(5)", "range(120)"), JAX_NPU_SIM_FAULTS="abort/10,seed=1"
    )
    assert done.returncode == 0, done.stderr
    *first, last = done.stderr.splitlines()
    assert len(first) == 9 < int(done.stdout)
    assert last.endswith("; the run is tried again (more of these are only counted)")
    assert all(line.endswith("; the run is tried again") for line in first)


@pytest.mark.parametrize("fault", SILENT)
def test_a_wrong_result_is_an_error_if_strict(
    virtual_xrt, product, always, monkeypatch, fault
):
    monkeypatch.setenv("JAX_NPU_STRICT", "1")
    virtual_xrt.set_faults(f"{fault}@1")
    with pytest.raises(Exception, match=r"xdna_gemm_sim: the NPU's product of .*wrong"):
        product()
    product()


def test_after_a_wrong_result_the_context_is_a_new_one(
    virtual_xrt, product, always, events
):
    virtual_xrt.set_faults("garbage@1")
    product()
    product()
    assert virtual_xrt.calls["context"] >= 1
    assert events("host_products") == 1


@pytest.mark.parametrize("fault", [*REPORTED, "no-memory", "no-context"])
def test_a_device_that_fails_for_good_is_an_error_with_cause_and_remedy(
    virtual_xrt, events, product, fault
):
    virtual_xrt.set_faults(f"abort@1,{fault}@1+")
    with pytest.raises(Exception, match=r"^INTERNAL: xdna_gemm_sim: ") as raised:
        product()
    assert CAUSES[fault] in str(raised.value)
    assert "\n" not in str(raised.value).strip()
    virtual_xrt.set_faults("")
    product()
    assert virtual_xrt.num_contexts == 1


def test_without_checks_a_wrong_result_goes_through(
    virtual_xrt, product, monkeypatch, events
):
    """This shows that the tests above cannot pass if the checks do nothing."""
    monkeypatch.setenv("JAX_NPU_CHECK", "off")
    virtual_xrt.set_faults("garbage@1")
    with pytest.raises(AssertionError):
        product()
    assert events("checks") == 0


def test_the_first_run_of_a_shape_is_checked_and_some_of_the_others(
    virtual_xrt, events, rng
):
    a = rng.integers(-4, 5, (33, 47)).astype(np.float32)
    multiply = jax.jit(lambda a: jax_npu.matmul(a, a.T, backend="sim"))
    multiply(a).block_until_ready()
    first = events("checks")
    assert first in (0, 1)  # 0 if an earlier test had the shape
    for _ in range(320):
        multiply(a).block_until_ready()
    assert 1 <= events("checks") - first <= 40


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("JAX_NPU_CHECK", "maybe", "must be one of sample, first, always, off, got"),
        ("JAX_NPU_STRICT", "yes", "JAX_NPU_STRICT must be one of 0, 1, got 'yes'"),
    ],
)
def test_a_bad_switch_is_an_error(product, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=message):
        product()


def test_a_run_that_never_ends_is_given_up(tmp_path, run_python):
    done = run_python(
        PRODUCT, JAX_NPU_SIM_FAULTS="stuck@2", JAX_NPU_WATCHDOG_SECONDS="0.5"
    )
    assert done.returncode == 0, done.stderr
    assert "TIMEOUT" in done.stderr


def test_a_lost_device_is_an_error_that_names_the_way_to_get_it_back(run_python):
    done = run_python(PRODUCT, JAX_NPU_SIM_FAULTS="gone@30")
    assert done.returncode == 1
    assert "the NPU is gone; reload its driver with 'sudo modprobe" in done.stderr


# The calls of a product that has its buffers: two copies, start, wait, two copies back.
START, WAIT = 3, 4


@pytest.mark.parametrize("call", [1, START, WAIT, WAIT + 1])
def test_a_product_waits_for_a_device_that_is_resumed(
    virtual_xrt, events, product, call
):
    product()
    virtual_xrt.set_faults(f"away@{call}")
    for _ in range(3):
        product()
    assert virtual_xrt.faults["away"] == 1
    assert events("host_products") == 0


@pytest.mark.parametrize("call", [1, WAIT + 1])
def test_after_a_device_was_replaced_the_next_product_opens_the_new_one(
    virtual_xrt, product, call
):
    product()
    virtual_xrt.set_faults(f"replaced@{call}")
    with pytest.raises(jax.errors.JaxRuntimeError, match="the NPU is gone; reload its"):
        product()
    for _ in range(3):
        product()
    assert virtual_xrt.faults["replaced"] == 1


@pytest.mark.parametrize("call", [1, 7, 15, 32])
def test_after_a_process_was_killed_the_next_one_works(call, run_python):
    killed = run_python(PRODUCT, JAX_NPU_SIM_FAULTS=f"kill@{call}")
    assert killed.returncode == -signal.SIGKILL
    assert run_python(PRODUCT).returncode == 0


def test_a_forked_process_says_that_it_cannot_use_the_npu(run_python):
    done = run_python(
        f"""{PRODUCT}
import os, warnings
warnings.simplefilter("ignore")
if (child := os.fork()) == 0:
    product()
os.waitpid(child, 0)
"""
    )
    assert "this process was forked from one that had opened the NPU" in done.stderr


PRODUCT = """
import numpy as np, jax_npu
x = np.random.default_rng(0).integers(-4, 5, (65, 65)).astype(np.float32)
def product():
    np.testing.assert_array_equal(jax_npu.matmul(x, x, backend="sim"), x @ x)
for _ in range(5):
    product()
"""


def test_products_that_do_not_need_each_other_are_one_command(virtual_xrt, events, rng):
    """The first one takes longer, so the others wait and are sent together."""
    a = rng.integers(-4, 5, (512, 512)).astype(np.float32)
    with jax_npu.backend("sim"):
        products = jax.jit(
            lambda a: [jax_npu.matmul(a[:, i:], a[i:]) for i in range(0, 160, 16)]
        )
        results = jax.block_until_ready(products(a))
    for i, result in zip(range(0, 160, 16), results):
        np.testing.assert_array_equal(result, a[:, i:] @ a[i:])
    assert events("runs") >= 10
    assert events("commands") < events("runs")


def test_what_is_needed_by_several_runs_fails_and_succeeds_as_a_whole(
    virtual_xrt, events, rng
):
    a = rng.integers(-4, 5, (512, 512)).astype(np.float32)
    virtual_xrt.set_faults("abort/6,seed=1")
    with jax_npu.backend("sim"):
        products = jax.jit(
            lambda a: [jax_npu.matmul(a[:, i:], a[i:]) for i in range(0, 160, 16)]
        )
        jax.block_until_ready(products(a))
    num_aborts = virtual_xrt.faults["abort"]
    assert num_aborts >= 1
    assert events("retries") >= num_aborts


def test_what_was_made_for_a_program_serves_its_later_calls(
    virtual_xrt, rng, monkeypatch
):
    """Context, buffers (by size) and instructions (by shape) are not made again."""
    monkeypatch.setenv(IMAGE_CACHE_MB.name, "0")  # else images keep some of them
    shapes = [(70, 90, 300), (90, 300, 70), (256, 64, 256), (33, 64, 128)]
    operands = [
        [rng.standard_normal(s).astype(np.float32) for s in ((m, k), (k, n))]
        for m, k, n in shapes
    ]
    with jax_npu.backend("sim"):
        step = jax.jit(lambda operands: [jax_npu.matmul(a, b) for a, b in operands])
        for _ in range(5):  # XLA decides how many products run at a time
            jax.block_until_ready(step(operands))
        virtual_xrt.set_faults("")
        for _ in range(3):
            jax.block_until_ready(step(operands))
    assert virtual_xrt.calls["run"] == 3 * len(shapes)
    assert virtual_xrt.calls["context"] == 0
    assert virtual_xrt.calls["buffer"] <= 3  # for more products at a time than before


def test_the_cpu_works_on_while_the_npu_computes(run_python):
    """While a run hangs until it is given up, everything else is computed."""
    done = run_python(
        """
import jax, numpy as np, jax_npu
retries = []
def on_host(x):
    retries.append(jax_npu.npu_events()["retries"])
    return x
shape = jax.ShapeDtypeStruct((256, 256), np.float32)
@jax.jit
def both(x):
    product = jax_npu.matmul(x, x, backend="sim")
    # XLA executes programs of a few operations one after the other.
    return product, [jax.pure_callback(on_host, shape, x + i) for i in range(10)]
x = np.random.default_rng(0).integers(-4, 5, (256, 256)).astype(np.float32)
product, _ = jax.block_until_ready(both(x))
np.testing.assert_array_equal(product, x @ x)
assert retries == [0] * 10, retries
assert jax_npu.npu_events()["retries"] == 1
""",
        JAX_NPU_SIM_FAULTS="stuck@1",
        JAX_NPU_WATCHDOG_SECONDS="5",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cache_mb", ["0", "1"])
def test_threads_and_buffers_do_not_grow(virtual_xrt, product, monkeypatch, cache_mb):
    monkeypatch.setenv(IMAGE_CACHE_MB.name, cache_mb)
    for _ in range(10):  # enough to fill the cache of images
        product()
    threads, buffers = threading.active_count(), virtual_xrt.num_buffers
    native = len(os.listdir("/proc/self/task"))
    for _ in range(20):
        product()
    assert virtual_xrt.num_buffers == buffers
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/task")) <= native
    assert virtual_xrt.num_contexts == 1
