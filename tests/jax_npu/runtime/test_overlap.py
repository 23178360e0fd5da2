"""What goes on while the NPU computes.

The device is held, so that nothing depends on chance. Programs run in threads, since
jax waits in the caller's thread for programs of a few operations.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import jax_npu

PATIENCE = 15.0  # seconds
READY_COMMANDS = 2  # one that runs and one behind it, see xla_ffi/npu/queue.cc
MAX_RUNS = 24  # of a command


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


@pytest.fixture
def in_a_thread():
    with ThreadPoolExecutor() as pool:
        yield pool.submit


@pytest.fixture
def start(rng, in_a_thread):
    """A function that starts `num` products of one program that need no other one.

    It returns a function that compares the results.
    """

    def start(num, size=33):
        shape = num, size, size
        a, b = (rng.integers(-4, 5, shape).astype(np.float32) for _ in range(2))
        multiply = jax.jit(
            lambda a, b: [jax_npu.matmul(x, y, backend="sim") for x, y in zip(a, b)]
        )
        results = in_a_thread(multiply, list(a), list(b))

        def check():
            for x, y, result in zip(a, b, results.result(), strict=True):
                np.testing.assert_array_equal(result, x @ y)

        return check

    return start


def fill_the_device(start, events):
    """Starts products until further ones have to wait."""
    checks = []
    for num_commands in range(1, READY_COMMANDS + 1):
        checks.append(start(1))
        wait_for(lambda count=num_commands: events("commands") == count)
    return checks


def test_runs_that_wait_are_one_command(virtual_xrt, events, start):
    with virtual_xrt.held():
        checks = fill_the_device(start, events)
        checks.append(start(10))
        wait_for(lambda: events("runs") == READY_COMMANDS + 10)
        assert events("commands") == READY_COMMANDS
    for check in checks:
        check()
    assert events("commands") == READY_COMMANDS + 1
    assert events("chained_runs") == 9


def test_a_full_command_does_not_wait(virtual_xrt, events, start):
    with virtual_xrt.held():
        checks = fill_the_device(start, events)
        checks.append(start(MAX_RUNS + 6))
        wait_for(lambda: events("runs") == READY_COMMANDS + MAX_RUNS + 6)
        wait_for(lambda: events("commands") == READY_COMMANDS + 1)
    for check in checks:
        check()
    assert events("commands") == READY_COMMANDS + 2
    assert events("chained_runs") == MAX_RUNS + 6 - 2


def test_operands_are_packed_while_an_earlier_product_runs(virtual_xrt, events, start):
    before = jax_npu.counters()
    with virtual_xrt.held():
        checks = [start(12, 260)]  # large enough for several threads
        wait_for(lambda: events("runs") == 12)
        assert (jax_npu.counters() - before).packed_images == 2 * 12
        assert (jax_npu.counters() - before).copied_bytes == 0
    for check in checks:
        check()
    assert (jax_npu.counters() - before).copied_bytes == 12 * 2 * 4 * 260**2


def test_gradients_of_several_layers_are_one_command(
    virtual_xrt, events, start, rng, in_a_thread
):
    """XLA executes programs of few operations one by one, so one layer is too few."""
    num = 6
    x, w, g = rng.integers(-4, 5, (3, num, 40, 40)).astype(np.float32)

    @jax.jit
    def backward(x, w, g):
        def multiply(x, w):
            return jax_npu.matmul(x, w, backend="sim")

        return [jax.vjp(multiply, *xw)[1](ct) for *xw, ct in zip(x, w, g)]

    with virtual_xrt.held():
        checks = fill_the_device(start, events)
        before = jax_npu.counters()
        gradients = in_a_thread(backward, list(x), list(w), list(g))
        wait_for(lambda: events("runs") == READY_COMMANDS + 2 * num)
        assert (jax_npu.counters() - before).packed_images == 3 * num
    for i, (dx, dw) in enumerate(gradients.result()):
        np.testing.assert_array_equal(dx, g[i] @ w[i].T)
        np.testing.assert_array_equal(dw, x[i].T @ g[i])
    for check in checks:
        check()
    assert events("commands") == READY_COMMANDS + 1
    assert events("chained_runs") == 2 * num - 1
