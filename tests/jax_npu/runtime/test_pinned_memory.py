"""Pinned memory: what an NPU's buffers take, and what a limit allows."""

import functools
import resource

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jax_npu
from jax_npu.contraction import spec_from_subscripts
from jax_npu.lowering import pinning
from jax_npu.lowering.call import gemm_call
from jax_npu.lowering.pinning import require_pinnable
from jax_npu.lowering.settings import current_settings
from jax_npu.runtime.designs import gemm_array
from jax_npu.runtime.pinned_memory import HEAP_BYTES
from xdna.gemm.stream import image_bytes
from xdna.gemm.tiling import make_plan

PRODUCT = (1, 256, 768, 2304, "mk", "kn")


def images_of(array):
    plan = make_plan(array, *PRODUCT)
    return max(sum(image_bytes(plan, run)) for run in plan.runs)


def test_pinned_memory_counts_the_images_of_products(virtual_xrt, rng):
    before = jax_npu.pinned_memory()
    # Larger than what lies idle after any other test.
    x = rng.standard_normal((1024, 4096)).astype(np.float32)
    w = rng.standard_normal((4096, 1536)).astype(np.float32)
    jax.block_until_ready(jax_npu.matmul(x, w, backend="sim"))
    after = jax_npu.pinned_memory()
    images = 2 * x.size + 2 * w.size + 4 * 1024 * 1536
    assert after.most >= images
    assert before.most <= after.most
    assert 0 <= after.now <= after.most


def test_pinned_memory_knows_the_limit(monkeypatch):
    limits = {"now": (1 << 20, resource.RLIM_INFINITY)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    assert jax_npu.pinned_memory().limit == 1 << 20
    limits["now"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert jax_npu.pinned_memory().limit is None


@pytest.fixture
def with_chip(monkeypatch):
    """A function that gives this machine a chip, and a limit of locked memory."""

    def give(limit, chip="npu1"):
        monkeypatch.setattr(pinning, "chip", lambda: chip)
        monkeypatch.setattr(pinning, "memlock_limit", lambda: limit)

    return give


def test_a_product_that_the_limit_has_no_room_for_is_refused(with_chip):
    needed = HEAP_BYTES + images_of(gemm_array("npu1"))
    with_chip(needed)
    require_pinnable("npu", "npu1", *PRODUCT)
    with_chip(None)
    require_pinnable("npu", "npu1", *PRODUCT)
    with_chip(needed - 1)
    require_pinnable("sim", "npu1", *PRODUCT)  # it pins nothing
    with pytest.raises(ValueError, match=r"needs \d+ MiB of locked memory") as error:
        require_pinnable("npu", "npu1", *PRODUCT)
    message = str(error.value)
    assert "(256, 768) x (768, 2304)" in message
    assert "ulimit -l" in message
    assert "\n" not in message
    with_chip(needed - 1, chip=None)  # a program for another machine
    require_pinnable("npu", "npu1", *PRODUCT)


def test_the_limit_is_asked_before_a_call_is_made(with_chip):
    with_chip(8 << 20)
    x = jax.ShapeDtypeStruct((16, 16), jnp.float32)
    spec = spec_from_subscripts("mk,kn->mn", x.shape, x.shape)
    call = functools.partial(
        gemm_call,
        spec=spec,
        out_dtype=jnp.float32,
        passes=1,
        backend="npu",
        constant=(False, False),
        settings=current_settings("sim"),
    )
    with pytest.raises(ValueError, match="may lock 8 MiB"):
        jax.eval_shape(call, x, x)
