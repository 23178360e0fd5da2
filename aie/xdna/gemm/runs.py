"""The runs of a GEMM: how its blocks of C are split into submissions.

A run is one submission: images of A, B and C in DDR and a stream of transfers. Its
work is a grid of (batch entry, block row, block column), each point one (block_m,
block_n) block of C over all of K.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from xdna.devices import MAX_ITERATIONS, SHIM, WORD_BYTES
from xdna.gemm.array import GemmArray
from xdna.gemm.costs import block_seconds
from xdna.gemm.images import ROW_MAJOR, Images, Orders, images_of
from xdna.gemm.parameters import FIELDS
from xdna.gemm.steps import (
    DIMENSIONS,
    Grid,
    Step,
    group_size,
    passing_steps,
    resident_steps,
)

# The driver ends a run after 2 s; half of that leaves room for errors of the estimate.
MAX_RUN_SECONDS = 1.0
# The byte offset of a transfer has 32 bits, and the host must find the memory.
MAX_IMAGE_BYTES = 1 << 30
# A bound on the instructions of a run: the controller reads them from the same DDR.
MAX_STEPS = 1 << 12
# The driver submits up to so many runs at once: kMaxRuns of xla_ffi/driver/driver.h.
RUNS_OF_A_LIST = 24
# A product that needs more runs than this is refused.
MAX_RUNS = 1 << 18


@dataclass(frozen=True)
class Run:
    """One submission: the blocks of C at grid points from `start` to `start + grid`.

    `along` is the dimension in which a step iterates. With a resident operand, a or b,
    groups of so many of its blocks stay in the memtiles.
    """

    start: Grid
    grid: Grid
    along: str
    resident: str = ""
    group: int = 0

    @property
    def num_tiles(self) -> int:
        """Tiles of C that each core computes: one for each grid point."""
        return math.prod(self.grid)

    @property
    def num_steps(self) -> int:
        if self.resident:
            return sum(1 for _ in self.steps())
        length = self.grid[DIMENSIONS.index(self.along)]
        return self.num_tiles // length * -(-length // MAX_ITERATIONS)

    def steps(self) -> Iterator[Step]:
        if self.resident:
            return resident_steps(self.grid, self.resident, self.group)
        return passing_steps(self.grid, self.along)

    @property
    def num_periods(self) -> int:
        """Times that a resident operand is loaded; 0 without one."""
        if not self.resident:
            return 0
        return sum(step.ends_period for step in self.steps())

    def loads(self) -> tuple[int, int]:
        """Block rows of A and block columns of B that the shims read, in all."""
        loads = {"a": self.num_tiles, "b": self.num_tiles}
        if self.resident:
            loads[self.resident] = sum(
                step.num_blocks for step in self.steps() if step.loads_resident
            )
        return loads["a"], loads["b"]


def split_into_runs(
    array: GemmArray,
    blocks: Grid,
    k: int,
    orders: Orders = ROW_MAJOR,
    may_stay: bool = True,
) -> Iterator[Run]:
    """The runs that cover every block of C once.

    Args:
      may_stay: whether an operand may be resident.

    Raises:
      ValueError: if k is too long for a run of one block, or there are too many runs.
    """
    k_steps = k_steps_of(array, k)
    size = _largest_grid(array, orders, blocks, k, k_steps)
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
        images = images_of(array, orders, k_steps * array.k, grid)
        along = _best_dimension(images, grid)
        assert along is not None  # the grid is no larger than one that fits
        run = Run(start, grid, along)
        yield _with_resident(array, orders, k_steps, run) if may_stay else run


def is_chained(index: int) -> bool:
    """Whether run `index` of a product follows another in the driver's list."""
    return index % RUNS_OF_A_LIST > 0


def k_steps_of(array: GemmArray, k: int) -> int:
    """k tiles that a core sums: those of k, padded to whole slices."""
    return -(-k // array.slice_k) * (array.slice_k // array.k)


def along_strides(images: Images, along: str) -> tuple[int, int, int]:
    """Elements of A, B and C from one grid point to the next along a dimension."""
    a, b, c = images
    return {
        "batch": (a.batch_stride, b.batch_stride, c.batch_stride),
        "m": (a.block_stride, 0, c.row_block_stride),
        "n": (0, b.block_stride, c.block_stride),
    }[along]


def _with_resident(array: GemmArray, orders: Orders, k_steps: int, run: Run) -> Run:
    """The run with an operand resident, where it can be and that saves traffic."""
    group = group_size(array, k_steps)
    if group == 0:
        return run
    kept, passing = (1, 2) if array.resident == "a" else (2, 1)
    images = images_of(array, orders, k_steps * array.k, run.grid)
    strides_fit = all(
        length == 1 or _along_strides_fit(images, along)
        for along, length in (("m", run.grid[1]), ("n", run.grid[2]))
    )
    if run.grid[kept] % group or run.grid[passing] < 2 or not strides_fit:
        return run
    resident = Run(run.start, run.grid, run.along, array.resident, group)
    if array.replays > 1:
        if run.grid[passing] != array.replays:
            raise ValueError(
                f"the design sends its resident operand {array.replays} times, and "
                f"{run.grid[passing]} blocks pass by"
            )
        return resident
    return resident if resident.num_steps <= MAX_STEPS else run


def _largest_grid(
    array: GemmArray, orders: Orders, blocks: Grid, k: int, k_steps: int
) -> Grid:
    size = blocks
    while not _fits(array, orders, k_steps, size):
        axis = _dimension_to_halve(size)
        if size[axis] == 1:
            images = images_of(array, orders, k_steps * array.k, size)
            raise ValueError(
                f"k = {k} is too long: one block of C needs A and B of "
                f"{_largest_image(images)} bytes, "
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


def _fits(array: GemmArray, orders: Orders, k_steps: int, grid: Grid) -> bool:
    images = images_of(array, orders, k_steps * array.k, grid)
    if _largest_image(images) > MAX_IMAGE_BYTES:
        return False
    if math.prod(grid) * block_seconds(array, k_steps) > MAX_RUN_SECONDS:
        return False
    if array.is_tiled:
        limits = FIELDS["num_tiles"].largest, FIELDS["k_steps"].largest
        if math.prod(grid) > limits[0] or k_steps > limits[1]:
            return False
    along = _best_dimension(images, grid)
    if along is None or not _strides_fit(images):
        return False
    return Run((0, 0, 0), grid, along).num_steps <= MAX_STEPS


def _largest_image(images: Images) -> int:
    return max(image.num_bytes for image in images)


def _best_dimension(images: Images, grid: Grid) -> str | None:
    """The dimension with the fewest steps among those whose strides a BD can hold."""
    possible = [
        along
        for along, length in zip(DIMENSIONS, grid)
        if length == 1 or _along_strides_fit(images, along)
    ]
    return min(
        possible,
        key=lambda along: Run((0, 0, 0), grid, along).num_steps,
        default=None,
    )


def _along_strides_fit(images: Images, along: str) -> bool:
    return all(
        _stride_fits(stride * image.element_bytes)
        for stride, image in zip(along_strides(images, along), images)
    )


def _strides_fit(images: Images) -> bool:
    """Whether a BD can hold the strides within each block."""
    return all(
        _stride_fits(stride * image.element_bytes)
        for image in images
        for size, stride in zip(image.sizes, image.strides)
        if size > 1
    )


def _stride_fits(num_bytes: int) -> bool:
    # A BD holds a stride in words, less 1.
    return num_bytes // WORD_BYTES <= 1 << SHIM.dma.step_bits
