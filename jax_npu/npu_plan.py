"""What a custom call on an NPU carries: plan, instructions, and paths of the design.

One static design per device serves every GEMM, so a shape costs nothing but its plan
and its instruction words, which are made here when a program is lowered.
"""

import functools
import hashlib
import os
from pathlib import Path

import numpy as np

from jax_npu.cache import cache_folder, write_once
from jax_npu.design.artifact import check_artifact
from jax_npu.design.gemm_array import GemmArray
from jax_npu.design.gemm_stream import run_words
from jax_npu.design.tiling import Plan, make_plan

# (m, k, n) of one core: that of Rösti & Franz (arXiv 2504.03083). It has room for two
# buffers of C in f32, and pads a training step half as much as 64 x 64 x 64.
TILE = (64, 64, 32)

SELF_TEST_K_STEPS = 4

DESIGN_VARIABLE = "JAX_NPU_DESIGN"  # a folder that `jax-npu build` made


@functools.cache
def gemm_array(device: str) -> GemmArray:
    """The design that runs every GEMM on that device."""
    return GemmArray(device, *TILE)


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
    buffers of A and B alternate; see `xla_ffi/npu_self_test.h`.
    """
    array = gemm_array(device)
    m, k, n = array.block_m, SELF_TEST_K_STEPS * array.k, 2 * array.block_n
    attributes = plan_attributes(device, 2, m, k, n)
    return {f"self_test_{name}": value for name, value in attributes.items()}


def plan_numbers(plan: Plan, num_words: list[int]) -> np.ndarray:
    """Flat, in the order of `NpuPlan` and `NpuRun` in `xla_ffi/npu_gemm.h`."""
    array = plan.array
    assert array.out == "float32"  # what npu_gemm.cc unpacks
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


@functools.cache
def simulated_design(device: str) -> Path:
    """The file with the design as the virtual NPU loads it, in the user's cache.

    Its name tells device and content, so it is written once and never changed.

    Raises:
      OSError: if the cache cannot be written.
    """
    from jax_npu.design.configuration import configuration
    from jax_npu.design.gemm_design import gemm_design

    content = configuration(gemm_design(gemm_array(device))).encode()
    name = f"{device}-{hashlib.sha256(content).hexdigest()[:16]}.cfg"
    return write_once(cache_folder() / name, content)


def designs_folder() -> Path:
    """Where `jax-npu build` keeps what it built, a folder each."""
    return cache_folder() / "designs"


def built_design(device: str) -> Path:
    """The xclbin for that NPU: in `$JAX_NPU_DESIGN`, or the newest of the cache's.

    It is looked for once a process: an NPU's contexts are few, and one is kept.

    Raises:
      FileNotFoundError: if none is built.
      ValueError: if what is built is not what streams are made for now.
    """
    return _built_design(device, os.environ.get(DESIGN_VARIABLE) or None)


@functools.cache
def _built_design(device: str, chosen: str | None) -> Path:
    if chosen is not None:
        try:
            return check_artifact(Path(chosen), gemm_array(device))
        except ValueError as error:
            raise ValueError(f"{error}, or unset {DESIGN_VARIABLE}") from None
    built = list(designs_folder().glob(f"{device}-*/"))
    built.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    refusals = []
    for folder in built:
        try:
            return check_artifact(folder, gemm_array(device))
        except ValueError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    raise FileNotFoundError(
        f"no design for {device} is built; run: jax-npu build --device {device}"
    )
