"""The kernels that a core of the GEMM array calls, and their times."""

from dataclasses import replace
from typing import NamedTuple

from xdna.gemm.array import ELEMENT_BYTES, GemmArray
from xdna.timing import Timing

# Products of operands in tiles: C = A B or C += A B.
MATMUL_TILES = "matmul_tiles_bf16_f32"
BEGINS_C = 4  # of its flags; bits 0 and 1 are the orders of A and B
SHORT_NAMES = {"float32": "f32", "bfloat16": "bf16"}


class KernelCall(NamedTuple):
    """A call, as the virtual NPU needs it.

    Args:
      accesses: for each argument r (read), w (written), b (both), or - for a number.
      cycles: without the time to call it.
    """

    name: str
    accesses: str
    cycles: float
    macs: int = 0


def kernel_calls(
    array: GemmArray, times: Timing, arithmetic: str = "exact"
) -> list[KernelCall]:
    """All kernels of a design: to clear sums and to convert only where it does."""
    sums = SHORT_NAMES[array.sums]
    m, k, n = array.part_m, array.k, array.n
    time = times.matmul(arithmetic)
    if array.sums == "bfloat16":  # half the bytes to load and store
        time = replace(time, mn=time.mn / 2)
    of_sums = ELEMENT_BYTES[array.sums]
    cycles, macs = time.cycles(m, k, n), m * k * n
    if array.is_tiled:
        # C is read, too, but for the first products; a letter holds for all calls.
        calls = [KernelCall(MATMUL_TILES, "rrw-", cycles, macs)]
    else:
        zero = times.zero_byte * m * n * of_sums
        calls = [
            KernelCall(f"zero_{sums}", "w", zero),
            KernelCall(f"matmul_bf16_{sums}", "rrb", cycles, macs),
        ]
    if array.out != array.sums:
        convert = times.convert_element * m * n
        calls.append(KernelCall("convert_f32_bf16", "rw", convert))
    return calls
