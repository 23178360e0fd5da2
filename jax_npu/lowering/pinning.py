"""Whether the buffers of a product can be pinned, asked before the first step."""

import functools

from jax_npu.runtime.designs import gemm_array
from jax_npu.runtime.machine import chip
from jax_npu.runtime.pinned_memory import HEAP_BYTES, memlock_limit
from xdna.gemm.stream import image_bytes
from xdna.gemm.tiling import make_plan


def require_pinnable(backend: str, device: str, *product: int | str) -> None:
    """Checks the limit of locked memory, where there is a chip.

    Images of several products share what the limit leaves: those that wait give way. So
    a limit that holds the largest run is enough, if not fast.

    Args:
      product: batch, m, k, n, and the orders of the operands.

    Raises:
      ValueError: if the images of one run alone are larger.
    """
    limit = memlock_limit()
    if backend != "npu" or limit is None:
        return
    needed = HEAP_BYTES + _largest_run(device, *product)
    if needed <= limit or chip() is None:
        return
    raise ValueError(_too_large(needed, limit, product))


def _too_large(needed: int, limit: int, product: tuple[int | str, ...]) -> str:
    batch, m, k, n = product[:4]
    several = f"{batch} x " if batch != 1 else ""
    return (
        f"the product {several}({m}, {k}) x ({k}, {n}) needs {needed / 2**20:,.0f} MiB "
        "of locked memory on the NPU, 64 MiB of them for its heap, and this process "
        f"may lock {limit / 2**20:,.0f} MiB (ulimit -l); 'jax-npu doctor' says how to "
        "raise that, and JAX_NPU_PLACE=host leaves the NPU alone"
    )


@functools.lru_cache(maxsize=256)
def _largest_run(device: str, *product: int | str) -> int:
    plan = make_plan(gemm_array(device), *product)
    return max(sum(image_bytes(plan, run)) for run in plan.runs)
