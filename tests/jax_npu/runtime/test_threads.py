"""Many threads at once on the virtual NPU: right results, and nothing left behind."""

import ctypes
import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime.npu_events import npu_events
from xdna.dialect.text import print_module
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design

pytestmark = pytest.mark.usefixtures("virtual_xrt")

# Length of a stress test; .ci/sanitize sets it to a minute.
SECONDS = float(os.environ.get("JAX_NPU_STRESS_SECONDS", "1"))
NUM_THREADS = 16
PATIENCE = 300.0  # seconds after which a thread counts as stuck
# Largest operand; sums of products of such small integers are exact in any order.
LIMIT = 4


def integers(rng, *shape):
    return rng.integers(-LIMIT, LIMIT + 1, shape).astype(np.float32)


def new_matmul():
    """A product not jitted before, since variables are read when it is lowered."""
    return lambda a, b: jax_npu.matmul(a, b, backend="sim")


def products(rng, m, k, n):
    """Jitted functions, each with its operands and NumPy's results."""
    matmul = new_matmul()
    a, b = integers(rng, m, k), integers(rng, k, n)
    c, weights = integers(rng, n, m), integers(rng, m, n)
    x, y = integers(rng, 2, m, k), integers(rng, 2, k, n)

    def loss(a, b):
        return jnp.vdot(matmul(a, b), weights)

    return [
        (jax.jit(matmul), (a, b), [a @ b]),
        (jax.jit(lambda a, b: matmul(b.T, a.T)), (a, b), [(a @ b).T]),
        (jax.jit(matmul), (x, y), [x @ y]),
        (jax.jit(jax.grad(loss, (0, 1))), (a, b), [weights @ b.T, a.T @ weights]),
        # One product reads the other's result: at most 256, to be exact in bf16.
        (
            jax.jit(lambda a, b, c: matmul(a, matmul(b, c))),
            (a, np.sign(b), np.sign(c)),
            [a @ (np.sign(b) @ np.sign(c))],
        ),
    ]


class Threads:
    """Threads that start together, loop until the time is over, and collect errors."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds
        self.num_calls = 0
        self.errors = []
        self.lock = threading.Lock()

    def work(self, seed):
        try:
            rng = np.random.default_rng(seed)
            cases = products(rng, *rng.integers(1, (90, 150, 130)))
            rounds = 0
            while rounds == 0 or (time.monotonic() < self.end and not self.errors):
                for function, operands, expected in cases:
                    results = jax.tree.leaves(function(*operands))
                    for actual, wanted in zip(results, expected, strict=True):
                        np.testing.assert_array_equal(np.asarray(actual), wanted)
                rounds += 1
            with self.lock:
                self.num_calls += rounds * len(cases)
        except BaseException as error:
            self.errors.append(error)

    def run(self):
        threads = [
            threading.Thread(target=self.work, args=(seed,), daemon=True)
            for seed in range(NUM_THREADS)
        ]
        for thread in threads:
            thread.start()
        deadline = self.end + PATIENCE
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not self.errors, self.errors[0]
        assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("faults", ["", "run/20"])
def test_many_threads_at_once_get_right_results(
    virtual_xrt, events, monkeypatch, faults
):
    monkeypatch.setenv("JAX_NPU_CHECK", "always" if faults else "sample")
    virtual_xrt.set_faults(faults)
    threads = Threads(SECONDS)
    threads.run()
    print(f"{threads.num_calls} calls, {npu_events()}")
    assert events("products") >= threads.num_calls
    assert events("failures") == 0
    assert (events("retries") > 0) == bool(faults)
    assert virtual_xrt.num_contexts <= 2


def test_threads_may_make_the_design_at_once():
    array = GemmArray("npu1", 64, 64, 32)
    expected = print_module(gemm_design(array))
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        designs = threads.map(lambda _: gemm_design(array), range(NUM_THREADS))
        assert {print_module(design) for design in designs} == {expected}


def num_threads():
    return len(list(Path("/proc/self/task").iterdir()))


def resident_bytes():
    """The process's memory without what malloc keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "num_products", [200, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_faults_leave_nothing_behind(virtual_xrt, events, monkeypatch, num_products):
    """The numbers of buffers, contexts, threads and bytes are the same afterwards."""
    monkeypatch.setenv("JAX_NPU_CHECK", "always")
    rng = np.random.default_rng(0)
    multiply = jax.jit(new_matmul())
    operands = [
        (integers(rng, m, k), integers(rng, k, n))
        for m, k, n in rng.integers(1, 70, (4, 3))
    ]

    def compute(count):
        num_given_up = 0
        for i in range(count):
            a, b = operands[i % len(operands)]
            try:
                result = np.asarray(multiply(a, b))
            except Exception as error:
                if "(4 attempts)" not in str(error):
                    raise
                num_given_up += 1
            else:
                np.testing.assert_array_equal(result, a @ b)
            # Otherwise the NPU would be unhealthy, and nothing would run on it.
            virtual_xrt.forget_health()
        return num_given_up

    def left_behind():
        """Buffers, threads and bytes, with the context and buffers of the last run."""
        virtual_xrt.set_faults("")
        assert compute(len(operands)) == 0
        return virtual_xrt.num_buffers, num_threads(), resident_bytes()

    faults = "run/13,error/17,wrong/19,no-memory/50,no-context/7"
    virtual_xrt.set_faults(faults)
    # A process reaches its largest size with its rarest faults.
    num_given_up = compute(400)
    before = left_behind()
    virtual_xrt.set_faults(faults)
    num_given_up += compute(num_products)
    num_faults = sum(virtual_xrt.faults.values())
    after = left_behind()
    print(f"buffers, threads, bytes: {before}, {after}; {npu_events()}")
    assert num_faults > num_products / 13
    # A product fails after four attempts, each with a context, its self-test and a run.
    assert events("failures") == num_given_up < num_products / 30
    assert virtual_xrt.num_contexts <= 1
    assert after[0] <= before[0] + 8  # the number of a context's idle buffers varies
    assert after[1] <= before[1] + 2
    # There may be more idle buffers of a self-test, of 3 MB each on npu2.
    assert after[2] <= before[2] + (64 << 20)
