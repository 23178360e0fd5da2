"""The costs of blocks of C: bytes in DDR, and seconds on the array.

The seconds are a cautious estimate, because they decide how much one run may contain.
"""

from xdna.devices import WORD_BYTES
from xdna.gemm.array import INPUT_BYTES, GemmArray
from xdna.timing import timing


def block_bytes(array: GemmArray, padded_k: int) -> tuple[int, int, int]:
    """Bytes of A, B and C that the array reads and writes for one block of C."""
    return (
        array.block_m * padded_k * INPUT_BYTES,  # (block_m, k)
        padded_k * array.block_n * INPUT_BYTES,  # (k, block_n)
        array.block_m * array.block_n * array.out_bytes,  # (block_m, block_n)
    )


def block_seconds(array: GemmArray, k_steps: int) -> float:
    """Seconds for one block of C: the slowest of cores, streams and DDR.

    At the lowest clock, with the open compiler's kernels and exact arithmetic.
    """
    return max(
        _array_cycles(array, k_steps) / array.device.min_clock_hz,
        _ddr_seconds(array, k_steps),
    )


def _array_cycles(array: GemmArray, k_steps: int) -> float:
    m, k, n = array.m, array.k, array.n
    times = timing(array.device_name)
    # cycles for C (m, n) += A (m, k) B (k, n) on one core
    multiply = times.matmul_exact_mkn * m * k * n + times.matmul_exact_mn * m * n
    bytes_per_cycle = WORD_BYTES / times.cycles_per_word
    # A core takes a tile of A and one of B in each k step. A column's C, (block_m, n),
    # leaves through one stream, once.
    stream_a = m * k * INPUT_BYTES / bytes_per_cycle
    stream_b = k * n * INPUT_BYTES / bytes_per_cycle
    stream_c = array.block_m * n * array.out_bytes / bytes_per_cycle
    return max(k_steps * max(multiply, stream_a, stream_b), stream_c)


def _ddr_seconds(array: GemmArray, k_steps: int) -> float:
    return sum(block_bytes(array, k_steps * array.k)) / 5e9
