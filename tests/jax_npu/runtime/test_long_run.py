"""Many steps of one program leave the process as it was."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu

NUM_STEPS, WARM_UP = 10_000, 1_000
# Resident memory may grow by this: jax's own bookkeeping, and the allocator's arenas.
MAX_GROWTH_BYTES = 16 << 20
# More buffers, and threads that complete results, for products that happen to overlap
# more than in the warm-up.
MAX_MORE_BUFFERS = 6
MAX_MORE_THREADS = 4


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def num_threads():
    return len(os.listdir("/proc/self/task"))


@pytest.mark.slow
def test_ten_thousand_steps_leave_memory_threads_and_buffers(virtual_xrt, rng):
    weights = [rng.standard_normal((24, 24)).astype(np.float32) / 5 for _ in range(3)]
    x = rng.standard_normal((8, 24)).astype(np.float32)

    def loss(weights, x):
        for w in weights:
            x = jnp.tanh(jax_npu.matmul(x, w, backend="sim"))
        return (x**2).sum()

    @jax.jit
    def step(weights, x):
        gradients = jax.grad(loss)(weights, x)
        return [w - 1e-3 * g for w, g in zip(weights, gradients)]

    for i in range(NUM_STEPS):
        weights = step(weights, x)
        if i % 100 == 0:
            jax.block_until_ready(weights)
        if i == WARM_UP:
            jax.block_until_ready(weights)
            before = resident_bytes(), num_threads(), virtual_xrt.num_buffers
    jax.block_until_ready(weights)
    memory, threads, buffers = before
    assert all(np.isfinite(w).all() for w in weights)
    assert resident_bytes() - memory < MAX_GROWTH_BYTES
    assert num_threads() <= threads + MAX_MORE_THREADS
    assert virtual_xrt.num_buffers <= buffers + MAX_MORE_BUFFERS
