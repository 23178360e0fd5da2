"""The steps of a run: which blocks of C each transfer of the shims covers, in order.

A *step* covers up to 64 grid points along one dimension with one transfer a shim
channel, through the iteration of its buffer descriptor. Where an operand is resident,
the steps of a *period* share what its first step has loaded: the first pass over the
other operand's blocks loads it, block by block, and further passes find it in the
memtiles.
"""

from collections.abc import Iterator
from typing import NamedTuple

from xdna.devices import MAX_ITERATIONS, MAX_LOCK_VALUE
from xdna.gemm.array import GemmArray

DIMENSIONS = ("batch", "m", "n")  # a grid's, in its order

Grid = tuple[int, int, int]  # (batch, block rows, block columns)


class Step(NamedTuple):
    """Blocks of C from grid point `start` on, so many of them along a dimension."""

    start: Grid
    num_blocks: int
    along: str
    loads_resident: bool = True
    # Passes over the resident operand that may begin once this step is done.
    further_passes: int = 0
    ends_period: bool = False


def passing_steps(grid: Grid, along: str) -> Iterator[Step]:
    """Both operands pass through the memtiles, once for each block."""
    axis = DIMENSIONS.index(along)
    ranges = [range(size) for size in grid]
    ranges[axis] = range(0, grid[axis], MAX_ITERATIONS)
    for batch in ranges[0]:
        for row in ranges[1]:
            for column in ranges[2]:
                point = batch, row, column
                count = min(grid[axis] - point[axis], MAX_ITERATIONS)
                yield Step(point, count, along)


def group_size(array: GemmArray, k_steps: int) -> int:
    """Block rows of A, or block columns of B, that fill the resident operand's ring.

    0 if they cannot fill it exactly, or no operand is resident.
    """
    if not array.resident:
        return 0
    slots = array.slots[array.resident]
    used = k_steps * array.k // array.slice_k
    return 0 if slots % used else slots // used


def resident_steps(grid: Grid, resident: str, group: int) -> Iterator[Step]:
    """The steps where `group` blocks of the resident operand stay for a period."""
    kept, passing = ("m", "n") if resident == "a" else ("n", "m")
    kept_axis, passing_axis = DIMENSIONS.index(kept), DIMENSIONS.index(passing)

    def at(batch: int, kept_index: int, passing_index: int) -> Grid:
        point = [batch, 0, 0]
        point[kept_axis], point[passing_axis] = kept_index, passing_index
        return point[0], point[1], point[2]

    for batch in range(grid[0]):
        for first in range(0, grid[kept_axis], group):
            # A slot's lock counts the passes of a period.
            for begin in range(0, grid[passing_axis], MAX_LOCK_VALUE):
                passes = min(grid[passing_axis] - begin, MAX_LOCK_VALUE)
                further = passes - 1
                yield Step(
                    at(batch, first, begin), group, kept, True, further, further == 0
                )
                if group == 1 and further:
                    start = at(batch, first, begin + 1)
                    yield Step(start, further, passing, False, 0, True)
                    continue
                for index in range(1, passes):
                    start = at(batch, first, begin + index)
                    yield Step(start, group, kept, False, 0, index == further)
