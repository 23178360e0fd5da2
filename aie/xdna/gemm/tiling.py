"""How a GEMM of any size becomes runs of the array: padding, splitting, loop order.

A run is one submission: images of A, B and C in DDR and a stream of transfers. Its
work is a grid of (batch entry, block row, block column), each one (block_m, block_n)
block of C over all of K. A *step* covers up to 64 grid points along one of the three
dimensions with one transfer per shim channel, through the buffer descriptor's
iteration.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from xdna.devices import MAX_ITERATIONS, SHIM, WORD_BYTES
from xdna.gemm.array import INPUT_BYTES, GemmArray
from xdna.timing import DDR_RUN_OVERHEAD_BYTES, timing

# A run must end within 2 s, by an estimate that is cautious but may err.
MAX_RUN_SECONDS = 1.0
# The byte offset of a transfer has 32 bits; a buffer also has to be had.
MAX_IMAGE_BYTES = 1 << 30
# Instructions of a run: they are read over the same DDR.
MAX_STEPS = 1 << 12
# Beyond this a plan is no longer something to submit.
MAX_RUNS = 1 << 18
# A plan that multiplies more than this many times what was asked for says so.
NOTABLE_PADDING = 4.0

DIMENSIONS = ("batch", "m", "n")


@dataclass(frozen=True)
class Gemm:
    """`batch` products (m, k) x (k, n).

    The orders say how A and B lie, outermost dimension first. Packing reads them by
    stride, so they change neither the images in DDR nor the runs.
    """

    batch: int
    m: int
    k: int
    n: int
    a_order: str = "mk"
    b_order: str = "kn"

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.k * self.n

    def swapped(self) -> "Gemm":
        """Cᵀ = Bᵀ Aᵀ of the same operands."""
        return Gemm(
            self.batch,
            self.n,
            self.k,
            self.m,
            {"kn": "km", "nk": "mk"}[self.b_order],
            {"mk": "nk", "km": "kn"}[self.a_order],
        )


@dataclass(frozen=True)
class Run:
    """One submission: grid points from `start` on, `grid` of them a dimension.

    Both are (batch, block row, block column); `along` is the dimension of a step.
    """

    start: tuple[int, int, int]
    grid: tuple[int, int, int]
    along: str

    @property
    def num_tiles(self) -> int:
        """Tiles of C that each core computes."""
        return math.prod(self.grid)

    @property
    def num_steps(self) -> int:
        length = self.grid[DIMENSIONS.index(self.along)]
        return self.num_tiles // length * -(-length // MAX_ITERATIONS)

    def steps(self) -> Iterator[tuple[tuple[int, int, int], int]]:
        """(first grid point, how many along `along`) of each step, in order."""
        axis = DIMENSIONS.index(self.along)
        ranges = [range(size) for size in self.grid]
        ranges[axis] = range(0, self.grid[axis], MAX_ITERATIONS)
        for point in itertools.product(*ranges):
            batch, row, column = point
            left = self.grid[axis] - point[axis]
            yield (batch, row, column), min(left, MAX_ITERATIONS)


@dataclass(frozen=True)
class Plan:
    """A GEMM on an array.

    `swapped`: the array computes Cᵀ = Bᵀ Aᵀ, which pads less; `gemm` is then the
    swapped one, its A the caller's B.
    """

    array: GemmArray
    gemm: Gemm
    swapped: bool
    k_steps: int
    runs: tuple[Run, ...]

    @property
    def padded_k(self) -> int:
        return self.k_steps * self.array.k

    @property
    def blocks(self) -> tuple[int, int, int]:
        return _blocks(self.array, self.gemm)

    @property
    def padded(self) -> Gemm:
        batch, rows, columns = self.blocks
        m, n = rows * self.array.block_m, columns * self.array.block_n
        return Gemm(batch, m, self.padded_k, n)

    @property
    def padding(self) -> float:
        """Multiplications done over those asked for."""
        return self.padded.macs / max(self.gemm.macs, 1)

    @property
    def ddr_bytes(self) -> dict[str, int]:
        """Bytes moved between DDR and the array, by operand of the array's GEMM."""
        a, b, c = _block_bytes(self.array, self.padded_k)
        points = math.prod(self.blocks)
        return {"a": a * points, "b": b * points, "c": c * points}

    @property
    def seconds(self) -> float:
        """A cautious estimate of the time on the array, without launches.

        At the lowest clock, with the open compiler's kernels and exact arithmetic.
        """
        return math.prod(self.blocks) * _block_seconds(self.array, self.k_steps)

    @property
    def notices(self) -> list[str]:
        """What the user should know of this plan."""
        if self.padding < NOTABLE_PADDING:
            return []
        return [
            f"padding multiplies the work by {self.padding:.1f}: the array computes "
            f"blocks of {self.array.block_m} x {self.array.block_n}"
        ]


@functools.lru_cache(maxsize=1024)
def make_plan(
    array: GemmArray,
    batch: int,
    m: int,
    k: int,
    n: int,
    a_order: str = "mk",
    b_order: str = "kn",
) -> Plan:
    """The plan for `batch` products (m, k) x (k, n).

    Args:
      array: the device, the core tile and the type of C.
      a_order, b_order: how the operands lie: "mk" or "km", "kn" or "nk".

    Raises:
      ValueError: for sizes below 1, orders not known, and a k too long for one run.
    """
    for name, order, known in (("a", a_order, "mk"), ("b", b_order, "kn")):
        if order not in (known, known[::-1]):
            raise ValueError(
                f"{name}_order must be {known} or {known[::-1]}, got {order!r}"
            )
    for name, size in (("batch", batch), ("m", m), ("k", k), ("n", n)):
        if size < 1:
            raise ValueError(
                f"a plan needs sizes of at least 1, got {name} = {size}; an empty "
                "product is zeros and needs no NPU"
            )
    gemm = Gemm(batch, m, k, n, a_order, b_order)
    turned = gemm.swapped()
    swapped = math.prod(_blocks(array, turned)) < math.prod(_blocks(array, gemm))
    if swapped:
        gemm = turned
    k_steps = -(-k // array.k)
    return Plan(array, gemm, swapped, k_steps, tuple(_runs(array, gemm, k_steps)))


def along_strides(
    array: GemmArray, padded_k: int, grid: tuple[int, int, int], along: str
) -> tuple[int, int, int]:
    """Elements of A, B and C from one grid point to the next along a dimension."""
    _, rows, columns = grid
    m, n, k = rows * array.block_m, columns * array.block_n, padded_k
    b_column_stride = array.block_n * (k if array.b_column_major else 1)
    return {
        "batch": (m * k, k * n, m * n),
        "m": (array.block_m * k, 0, array.block_m * n),
        "n": (0, b_column_stride, array.block_n),
    }[along]


def _blocks(array: GemmArray, gemm: Gemm) -> tuple[int, int, int]:
    return gemm.batch, -(-gemm.m // array.block_m), -(-gemm.n // array.block_n)


def _runs(array: GemmArray, gemm: Gemm, k_steps: int) -> Iterator[Run]:
    whole = _blocks(array, gemm)
    size = whole
    while not _fits(array, k_steps, size):
        axis = _dimension_to_halve(size)
        if size[axis] == 1:
            raise ValueError(
                f"k = {gemm.k} is too long: one block of C needs A and B of "
                f"{max(_image_bytes(array, k_steps * array.k, size))} bytes, "
                f"{_block_seconds(array, k_steps):.2f} s, or a stride past the limit; "
                "sum products over parts of k"
            )
        batch, rows, columns = (
            -(-length // 2) if d == axis else length for d, length in enumerate(size)
        )
        size = batch, rows, columns
    num_runs = math.prod(-(-total // part) for total, part in zip(whole, size))
    if num_runs > MAX_RUNS:
        raise ValueError(
            f"this product needs {num_runs:,} runs of the array, at most {MAX_RUNS:,} "
            "are planned at once; multiply parts of it"
        )
    starts = (range(0, total, part) for total, part in zip(whole, size))
    for batch, rows, columns in itertools.product(*starts):
        start = batch, rows, columns
        left = [total - first for total, first in zip(whole, start)]
        grid = min(size[0], left[0]), min(size[1], left[1]), min(size[2], left[2])
        along = _best_dimension(array, k_steps * array.k, grid)
        assert along is not None  # a smaller grid than one that fits
        yield Run(start, grid, along)


def _dimension_to_halve(size: tuple[int, int, int]) -> int:
    """The batch first, whose entries share nothing, then the longer side of C."""
    if size[0] > 1:
        return 0
    return 1 if size[1] >= size[2] else 2


def _fits(array: GemmArray, k_steps: int, grid: tuple[int, int, int]) -> bool:
    padded_k = k_steps * array.k
    if max(_image_bytes(array, padded_k, grid)) > MAX_IMAGE_BYTES:
        return False
    if math.prod(grid) * _block_seconds(array, k_steps) > MAX_RUN_SECONDS:
        return False
    along = _best_dimension(array, padded_k, grid)
    if along is None or not _row_strides_fit(array, padded_k, grid):
        return False
    return Run((0, 0, 0), grid, along).num_steps <= MAX_STEPS


def _best_dimension(
    array: GemmArray, padded_k: int, grid: tuple[int, int, int]
) -> str | None:
    """The dimension with the fewest steps among those whose strides a BD can hold."""
    possible = [
        along
        for along, length in zip(DIMENSIONS, grid)
        if length == 1
        or all(
            _stride_fits(stride * num_bytes)
            for stride, num_bytes in zip(
                along_strides(array, padded_k, grid, along),
                (INPUT_BYTES, INPUT_BYTES, array.out_bytes),
            )
        )
    ]
    return min(
        possible,
        key=lambda along: Run((0, 0, 0), grid, along).num_steps,
        default=None,
    )


def _row_strides_fit(
    array: GemmArray, padded_k: int, grid: tuple[int, int, int]
) -> bool:
    row_bytes = grid[2] * array.block_n * max(INPUT_BYTES, array.out_bytes)
    return _stride_fits(row_bytes) and _stride_fits(padded_k * INPUT_BYTES)


def _stride_fits(num_bytes: int) -> bool:
    return num_bytes // WORD_BYTES <= 1 << SHIM.dma.step_bits


def _image_bytes(
    array: GemmArray, padded_k: int, grid: tuple[int, int, int]
) -> tuple[int, int, int]:
    batch, rows, columns = grid
    a, b, c = _block_bytes(array, padded_k)
    return batch * rows * a, batch * columns * b, batch * rows * columns * c


def _block_bytes(array: GemmArray, padded_k: int) -> tuple[int, int, int]:
    """Of A, B and C for one block of C."""
    return (
        array.block_m * padded_k * INPUT_BYTES,
        padded_k * array.block_n * INPUT_BYTES,
        array.block_m * array.block_n * array.out_bytes,
    )


def _block_seconds(array: GemmArray, k_steps: int) -> float:
    """Of one block of C: the slowest of cores, streams and DDR."""
    m, k, n = array.m, array.k, array.n
    times = timing(array.device_name)
    multiply = times.matmul_exact_mkn * m * k * n + times.matmul_exact_mn * m * n
    word = WORD_BYTES / times.cycles_per_word  # bytes a cycle
    stream_a = m * k * INPUT_BYTES / word
    stream_b = k * n * INPUT_BYTES / word
    stream_c = array.block_m * n * array.out_bytes / word
    cycles = max(k_steps * max(multiply, stream_a, stream_b), stream_c)
    # Also on npu1, where nobody measured it: the estimate is to be cautious.
    runs = (k * INPUT_BYTES, n * INPUT_BYTES, n * array.out_bytes)
    blocks = _block_bytes(array, k_steps * k)
    ddr_bytes = sum(
        num_bytes * (1 + DDR_RUN_OVERHEAD_BYTES / run)
        for num_bytes, run in zip(blocks, runs)
    )
    return max(
        cycles / array.device.min_clock_hz, ddr_bytes / times.ddr_bytes_per_second
    )
