"""The runs of a GEMM: how its blocks of C are split into submissions, and into steps.

A run is one submission: images of A, B and C in DDR and a stream of transfers. Its
work is a grid of (batch entry, block row, block column), each point one (block_m,
block_n) block of C over all of K. A *step* covers up to 64 grid points along one of
the three dimensions with one transfer per shim channel, through the iteration of the
buffer descriptor (BD).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from xdna.devices import MAX_ITERATIONS, SHIM, WORD_BYTES
from xdna.gemm.array import INPUT_BYTES, GemmArray
from xdna.gemm.costs import block_seconds, image_bytes

# The driver ends a run after 2 s; half of that leaves room for errors of the estimate.
MAX_RUN_SECONDS = 1.0
# The byte offset of a transfer has 32 bits, and the host must find the memory.
MAX_IMAGE_BYTES = 1 << 30
# A bound on the instructions of a run: the controller reads them from the same DDR.
MAX_STEPS = 1 << 12
# A product that needs more runs than this is refused.
MAX_RUNS = 1 << 18

DIMENSIONS = ("batch", "m", "n")  # a grid's, in its order

Grid = tuple[int, int, int]  # (batch, block rows, block columns)


@dataclass(frozen=True)
class Run:
    """One submission: the blocks of C at grid points from `start` to `start + grid`.

    `along` is the dimension in which a step iterates.
    """

    start: Grid
    grid: Grid
    along: str

    @property
    def num_tiles(self) -> int:
        """Tiles of C that each core computes: one for each grid point."""
        return math.prod(self.grid)

    @property
    def num_steps(self) -> int:
        length = self.grid[DIMENSIONS.index(self.along)]
        return self.num_tiles // length * -(-length // MAX_ITERATIONS)

    def steps(self) -> Iterator[tuple[Grid, int]]:
        """(first grid point, number of points along `along`) of each step, in order."""
        axis = DIMENSIONS.index(self.along)
        ranges = [range(size) for size in self.grid]
        ranges[axis] = range(0, self.grid[axis], MAX_ITERATIONS)
        for point in itertools.product(*ranges):
            batch, row, column = point
            left = self.grid[axis] - point[axis]
            yield (batch, row, column), min(left, MAX_ITERATIONS)


def split_into_runs(array: GemmArray, blocks: Grid, k: int) -> Iterator[Run]:
    """The runs that cover every block of C once.

    Raises:
      ValueError: if k is too long for a run of one block, or there are too many runs.
    """
    k_steps = -(-k // array.k)
    size = _largest_grid(array, blocks, k, k_steps)
    num_runs = math.prod(-(-total // part) for total, part in zip(blocks, size))
    if num_runs > MAX_RUNS:
        raise ValueError(
            f"this product needs {num_runs:,} runs of the array, at most {MAX_RUNS:,} "
            "are planned at once; multiply parts of it"
        )
    starts = (range(0, total, part) for total, part in zip(blocks, size))
    for batch, rows, columns in itertools.product(*starts):
        start = batch, rows, columns
        left = [total - first for total, first in zip(blocks, start)]
        grid = min(size[0], left[0]), min(size[1], left[1]), min(size[2], left[2])
        along = _best_dimension(array, k_steps * array.k, grid)
        assert along is not None  # the grid is no larger than one that fits
        yield Run(start, grid, along)


def along_strides(
    array: GemmArray, padded_k: int, grid: Grid, along: str
) -> tuple[int, int, int]:
    """Elements of A, B and C from one grid point to the next along a dimension."""
    _, rows, columns = grid
    # Images: A (batch, m, k), B (batch, k, n) or (batch, n, k), C (batch, m, n).
    m, n, k = rows * array.block_m, columns * array.block_n, padded_k
    b_column_stride = array.block_n * (k if array.b_column_major else 1)
    return {
        "batch": (m * k, k * n, m * n),
        "m": (array.block_m * k, 0, array.block_m * n),
        "n": (0, b_column_stride, array.block_n),
    }[along]


def _largest_grid(array: GemmArray, blocks: Grid, k: int, k_steps: int) -> Grid:
    size = blocks
    while not _fits(array, k_steps, size):
        axis = _dimension_to_halve(size)
        if size[axis] == 1:
            raise ValueError(
                f"k = {k} is too long: one block of C needs A and B of "
                f"{max(image_bytes(array, k_steps * array.k, size))} bytes, "
                f"{block_seconds(array, k_steps):.2f} s, or a stride past the limit; "
                "sum products over parts of k"
            )
        batch, rows, columns = (
            -(-length // 2) if d == axis else length for d, length in enumerate(size)
        )
        size = batch, rows, columns
    return size


def _dimension_to_halve(size: Grid) -> int:
    """The batch first, whose entries share nothing, then the longer side of C."""
    if size[0] > 1:
        return 0
    return 1 if size[1] >= size[2] else 2


def _fits(array: GemmArray, k_steps: int, grid: Grid) -> bool:
    padded_k = k_steps * array.k
    if max(image_bytes(array, padded_k, grid)) > MAX_IMAGE_BYTES:
        return False
    if math.prod(grid) * block_seconds(array, k_steps) > MAX_RUN_SECONDS:
        return False
    along = _best_dimension(array, padded_k, grid)
    if along is None or not _row_strides_fit(array, padded_k, grid):
        return False
    return Run((0, 0, 0), grid, along).num_steps <= MAX_STEPS


def _best_dimension(array: GemmArray, padded_k: int, grid: Grid) -> str | None:
    """The dimension with the fewest steps among those whose strides a BD can hold."""
    possible = [
        along
        for along, length in zip(DIMENSIONS, grid)
        if length == 1 or _along_strides_fit(array, padded_k, grid, along)
    ]
    return min(
        possible,
        key=lambda along: Run((0, 0, 0), grid, along).num_steps,
        default=None,
    )


def _along_strides_fit(array: GemmArray, padded_k: int, grid: Grid, along: str) -> bool:
    strides = along_strides(array, padded_k, grid, along)
    element_bytes = INPUT_BYTES, INPUT_BYTES, array.out_bytes
    return all(
        _stride_fits(stride * num_bytes)
        for stride, num_bytes in zip(strides, element_bytes)
    )


def _row_strides_fit(array: GemmArray, padded_k: int, grid: Grid) -> bool:
    # A's rows, and B's where it is column-major, are k long; those of B and C are n.
    row_bytes = grid[2] * array.block_n * max(INPUT_BYTES, array.out_bytes)
    return _stride_fits(row_bytes) and _stride_fits(padded_k * INPUT_BYTES)


def _stride_fits(num_bytes: int) -> bool:
    # A BD holds a stride in words, less 1.
    return num_bytes // WORD_BYTES <= 1 << SHIM.dma.step_bits
