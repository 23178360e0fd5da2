"""The costs of blocks of C: bytes in DDR, and seconds on the array.

The seconds are a cautious estimate, because they decide how much one run may contain.
"""

import functools

from xdna.arithmetics import arithmetic_of_chip
from xdna.devices import WORD_BYTES
from xdna.gemm.array import INPUT_BYTES, GemmArray
from xdna.machines import DEFAULT_MACHINES, MACHINES
from xdna.timing import Timing, timing

# Short runs of bytes on the slowest machine: four shims at 800 MHz, each 64 bytes in 40
# cycles (`timing.RUN_CYCLES`).
CAUTIOUS_DDR_BYTES_PER_SECOND = 5e9


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


def cores_seconds(array: GemmArray, k_steps: int) -> float:
    """Seconds of the cores for one block of C, on the device's default machine.

    In the arithmetic of the chip.
    """
    arithmetic = arithmetic_of_chip(array.device_name)
    return k_steps * _multiply_cycles(array, arithmetic) / _times(array).clock_hz


def ddr_seconds(array: GemmArray, num_bytes: int) -> float:
    """Seconds of DDR for so many bytes, on the device's default machine."""
    return num_bytes / _times(array).ddr_bytes_per_second


def _times(array: GemmArray) -> Timing:
    # Streams must be the same on every machine.
    generation = array.device_name.split("_")[0]
    return _timing(array.device_name, DEFAULT_MACHINES[generation])


@functools.cache  # a search asks for it for every grid that it tries
def _timing(device_name: str, machine: str) -> Timing:
    return timing(device_name, MACHINES[machine])


def _multiply_cycles(array: GemmArray, arithmetic: str = "exact") -> float:
    """Cycles for C (m, n) += A (m, k) B (k, n) on one core."""
    return _times(array).matmul(arithmetic).cycles(array.m, array.k, array.n)


def _array_cycles(array: GemmArray, k_steps: int) -> float:
    m, k, n = array.m, array.k, array.n
    times, multiply = _times(array), _multiply_cycles(array)
    bytes_per_cycle = WORD_BYTES / times.cycles_per_word
    # A core takes a tile of A and one of B in each k step. A column's C, (block_m, n),
    # leaves through one stream, once.
    stream_a = m * k * INPUT_BYTES / bytes_per_cycle
    stream_b = k * n * INPUT_BYTES / bytes_per_cycle
    stream_c = array.block_m * n * array.out_bytes / bytes_per_cycle
    return max(k_steps * max(multiply, stream_a, stream_b), stream_c)


def _ddr_seconds(array: GemmArray, k_steps: int) -> float:
    num_bytes = sum(block_bytes(array, k_steps * array.k))
    return num_bytes / CAUTIOUS_DDR_BYTES_PER_SECOND
