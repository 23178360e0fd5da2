"""`jax_npu.counters()`, on products whose counts are known."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.bench.peak import num_cores
from jax_npu.runtime.designs import gemm_array
from jax_npu.runtime.target import npu_device
from xdna.gemm.array import IMAGE_TILE
from xdna.gemm.tiling import make_plan

M, K, N = 70, 90, 300
NUM_COUNTERS = len(dataclasses.fields(jax_npu.Counters))
# Dimension numbers of (m, k) x (k, n), and of both operands transposed.
PLAIN = (((1,), (0,)), ((), ()))
TRANSPOSED = (((0,), (1,)), ((), ()))


@pytest.fixture
def counted():
    """A function that counts one call of a function, after a first one compiled it."""

    def count(function, *arguments):
        jax.block_until_ready(function(*arguments))
        before = jax_npu.counters()
        jax.block_until_ready(function(*arguments))
        return jax_npu.counters() - before

    return count


def product(numbers=PLAIN, **options):
    return jax.jit(lambda a, b: jax_npu.dot_general(a, b, numbers, **options))


def operands(rng, dtype=jnp.float32):
    a, b = rng.standard_normal((M, K)), rng.standard_normal((K, N))
    return jnp.asarray(a, dtype), jnp.asarray(b, dtype)


@pytest.mark.parametrize("passes", [1, 3])
def test_flops_and_calls_are_exact(custom_call_backend, counted, rng, passes):
    precision = {1: "default", 3: "high"}[passes]
    step = counted(product(precision=precision), *operands(rng))
    assert (step.calls, step.flops) == (1, 2 * M * K * N * passes)


def test_a_batch_and_its_gradients_are_three_calls(custom_call_backend, counted, rng):
    def loss(a, b):
        return jax_npu.dot_general(a, b, (((2,), (1,)), ((0,), (0,)))).sum()

    a, b = rng.standard_normal((3, 8, 16)), rng.standard_normal((3, 16, 24))
    both = jax.jit(lambda a, b: jax.value_and_grad(loss, (0, 1))(a, b))
    step = counted(both, jnp.float32(a), jnp.float32(b))
    assert (step.calls, step.flops) == (3, 3 * 2 * 3 * 8 * 16 * 24)


def image_size(array, rows, columns):
    """Elements of an image, and of the zeros past it that whole blocks read."""
    rows, columns = (-(-x // array.slice_k) * array.slice_k for x in (rows, columns))
    past_end = max(
        max(-rows % block * columns, -columns % block * IMAGE_TILE)
        for block in (array.block_m, array.block_n)
    )
    return rows * columns + past_end


@pytest.mark.parametrize("numbers", [PLAIN, TRANSPOSED], ids=["plain", "transposed"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=str)
def test_the_arrays_images_are_counted_to_the_byte(counted, rng, numbers, dtype):
    a, b = operands(rng, dtype)
    if numbers is TRANSPOSED:
        a, b = a.T, b.T
    with jax_npu.backend("sim"):
        step = counted(product(numbers), a, b)
        array = gemm_array(npu_device())
    images = sum(image_size(array, *one.shape) for one in (a, b))
    read = (M * K + K * N) * dtype.dtype.itemsize
    assert (step.packed_images, step.packed_bytes) == (2, read + 2 * images)


@pytest.mark.parametrize("out", [jnp.float32, jnp.bfloat16], ids=str)
def test_unpacking_is_copying_or_converting(counted, rng, out):
    with jax_npu.backend("sim"):
        step = counted(product(preferred_element_type=out), *operands(rng))
    counts = step.copied_bytes, step.converted_bytes
    assert counts == ((8 * M * N, 0) if out == jnp.float32 else (0, 6 * M * N))


def test_the_host_packs_each_operand_at_least_once_or_not_at_all(counted, rng):
    with jax_npu.backend("host"):
        step = counted(product(), *operands(rng))
    read_once = 4 * (M * K + K * N)
    # A loose bound: no operand is packed ten times, padding included.
    assert 0 <= step.packed_bytes <= 10 * 2 * read_once


def test_times_fit_into_each_other(custom_call_backend, counted, rng):
    step = counted(product(), *operands(rng))
    num_threads = num_cores() + 1  # XLA's pool, and the thread that calls
    assert step.call_ns > 0
    assert 0 <= step.pack_ns + step.multiply_ns <= num_threads * step.call_ns


def c_blocks(array):
    """The sizes of C as the array computes it, or its transpose, with the blocks'."""
    plan = make_plan(array, 1, M, K, N)
    m, n = (N, M) if plan.swapped else (M, N)
    return (m, array.block_m), (n, array.block_n)


HOST_PARTS = [
    *("pack_ns", "allocate_ns", "flush_ns", "queue_ns", "wait_ns"),
    *("unpack_ns", "check_ns", "room_ns"),
]


def test_each_part_of_the_hosts_work_for_an_npu_is_timed(counted, rng, monkeypatch):
    monkeypatch.setenv("JAX_NPU_CHECK", "always")
    with jax_npu.backend("sim"):
        step = counted(product(), *operands(rng))
        array = gemm_array(npu_device())
    times = {part: getattr(step, part) for part in HOST_PARTS}
    assert min(times.values()) > 0, times
    # The thread that waits for the device waits no longer than the call takes.
    assert step.wait_ns <= step.call_ns
    assert 0 < step.device_ns <= step.call_ns
    # The images of A and B were synced to the device, whole blocks of C to it, with the
    # check's sentinel, and from it.
    images = image_size(array, M, K) + image_size(array, K, N)
    rows, columns = (-(-size // block) for size, block in c_blocks(array))
    c_size = rows * columns * array.block_m * array.block_n
    assert step.flushed_bytes == 2 * images + 2 * 4 * c_size


def test_the_host_has_no_part_for_an_npu(counted, rng):
    with jax_npu.backend("host"):
        step = counted(product(), *operands(rng))
    parts = [getattr(step, part) for part in HOST_PARTS if part != "pack_ns"]
    assert [*parts, step.flushed_bytes, step.device_ns] == [0] * (len(parts) + 2)


def test_nothing_is_counted_on_xla(counted, rng):
    with jax_npu.backend("xla"):
        step = counted(product(), *operands(rng))
    assert step == jax_npu.Counters(*[0] * NUM_COUNTERS)


def test_a_failed_call_is_not_counted(counted, rng, virtual_xrt):
    a, b = operands(rng)
    with jax_npu.backend("sim"):
        step = product()
        jax.block_until_ready(step(a, b))
        virtual_xrt.set_faults("timeout@1+")
        before = jax_npu.counters()
        with pytest.raises(Exception, match="xdna_gemm_sim: the run failed"):
            jax.block_until_ready(step(a, b))
        assert (jax_npu.counters() - before).calls == 0
        virtual_xrt.set_faults("")
        before = jax_npu.counters()
        time.sleep(0.1)  # the failed call must not seem to be still running
        start = time.perf_counter_ns()
        jax.block_until_ready(step(a, b))
        lasted = time.perf_counter_ns() - start
    assert 0 < (jax_npu.counters() - before).call_ns <= lasted


def test_counters_subtract_field_by_field():
    before = np.arange(NUM_COUNTERS)
    difference = jax_npu.Counters(*before + 10) - jax_npu.Counters(*before)
    assert difference == jax_npu.Counters(*[10] * NUM_COUNTERS)
