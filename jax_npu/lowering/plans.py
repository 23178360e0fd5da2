"""The plan and the instructions that a custom call on an NPU carries.

One static design per device serves every GEMM, so a shape costs nothing but its plan
and its instruction words, which are made here when a program is lowered.
"""

import functools

from jax_npu.lowering.attributes import Attributes, plan_attributes
from jax_npu.runtime.designs import gemm_array
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import make_plan

# As many as show that the buffers of A and B alternate, and come around again.
SELF_TEST_K_STEPS = 4


@functools.lru_cache(maxsize=256)
def product_plan(
    device: str,
    batch: int,
    m: int,
    k: int,
    n: int,
    a_order: str = "mk",
    b_order: str = "kn",
) -> Attributes:
    """The plan of `batch` products (m, k) x (k, n), as attributes.

    Args:
      a_order, b_order: how the operands lie; a design with images in tiles keeps them
        so, and any other takes every order alike.

    Raises:
      ValueError: for a k too long for one run of the array.
    """
    plan = make_plan(gemm_array(device), batch, m, k, n, a_order, b_order)
    return plan_attributes(plan, [run_words(plan, run) for run in plan.runs])


@functools.cache
def self_test_plan(device: str) -> Attributes:
    """The plan of what a new context computes first: a batch of two products.

    Each core computes two tiles of C in both of them; see
    `xla_ffi/npu/verify/self_test.h`.
    """
    array = gemm_array(device)
    m, k, n = array.block_m, SELF_TEST_K_STEPS * array.k, 2 * array.block_n
    return product_plan(device, 2, m, k, n)
