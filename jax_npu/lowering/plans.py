"""What a custom call on an NPU carries: its plan and its instructions.

One static design per device serves every GEMM, so a shape costs nothing but its plan
and its instruction words, which are made here when a program is lowered.
"""

import functools

import numpy as np

from jax_npu.runtime.designs import gemm_array
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import Plan, make_plan

SELF_TEST_K_STEPS = 4


@functools.lru_cache(maxsize=256)
def plan_attributes(
    device: str, batch: int, m: int, k: int, n: int
) -> dict[str, np.ndarray]:
    """`plan` and `words` of `xla_ffi/handlers.cc`, for `batch` products.

    Raises:
      ValueError: for a k too long for one run of the array.
    """
    plan = make_plan(gemm_array(device), batch, m, k, n)
    words = [run_words(plan, run) for run in plan.runs]
    return {
        "plan": plan_numbers(plan, [len(part) for part in words]),
        "words": np.concatenate(words),
    }


@functools.cache
def self_test_attributes(device: str) -> dict[str, np.ndarray]:
    """Plan and words of what a new context computes first, a batch of two products.

    Each core computes two tiles of C of both, in as many k steps as show that the
    buffers of A and B alternate; see `xla_ffi/npu/verify/self_test.h`.
    """
    array = gemm_array(device)
    m, k, n = array.block_m, SELF_TEST_K_STEPS * array.k, 2 * array.block_n
    attributes = plan_attributes(device, 2, m, k, n)
    return {f"self_test_{name}": value for name, value in attributes.items()}


def plan_numbers(plan: Plan, num_words: list[int]) -> np.ndarray:
    """Flat, in the order of `NpuPlan` and `NpuRun` in `xla_ffi/npu/gemm.h`."""
    array = plan.array
    assert array.out == "float32"  # what npu/gemm.cc unpacks
    numbers = [
        array.block_m,
        array.block_n,
        plan.padded_k,
        int(array.b_column_major),
        int(plan.swapped),
    ]
    for run, count in zip(plan.runs, num_words):
        numbers += [*run.start, *run.grid, count]
    return np.array(numbers, np.int64)
