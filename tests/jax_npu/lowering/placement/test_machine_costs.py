"""The bytes that a product is predicted to move are those that are counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.runtime.target import npu_device
from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.array import default_array
from xdna.placement.host_side import HostSide
from xdna.placement.npu_cost import NpuModel
from xdna.placement.product import Product
from xdna.timing import timing

PAST_END = 2 * 256 * 128 * 2  # a block of A and one of B, of k = 128 in bf16
A_BYTE_A_SECOND = HostSide(pack=1.0, flush=1.0, evict=1.0, unpack=1.0)


@pytest.mark.parametrize("sizes", [(1, 256, 256, 256), (2, 100, 70, 300)], ids=str)
def test_packed_flushed_and_copied_bytes_are_those_of_the_model(
    monkeypatch, rng, sizes
):
    monkeypatch.setenv("JAX_NPU_CHECK", "off")  # a check writes a pattern, too
    batch, m, k, n = sizes
    x, w = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for shape in ((batch, m, k), (batch, k, n))
    )
    multiply = jax.jit(lambda x, w: jax_npu.matmul(x, w, backend="sim"))
    multiply(x, w).block_until_ready()  # the first one tests the context
    before = jax_npu.counters()
    np.asarray(multiply(x, w))
    counted = jax_npu.counters() - before
    device = npu_device("sim")
    cost = NpuModel(
        default_array(device),
        timing(device),
        arithmetic_of_chip(device),
        A_BYTE_A_SECOND,
    ).cost(Product(*sizes))
    # What blocks read past the end of an image is zeroed, and left out of the model.
    past_end = counted.packed_bytes - sum(cost.pack)
    assert past_end == 0 if m % 256 == n % 256 == 0 else 0 < past_end <= PAST_END
    assert counted.copied_bytes == cost.unpack
    assert counted.flushed_bytes == sum(cost.flush) + cost.flush_c + past_end
