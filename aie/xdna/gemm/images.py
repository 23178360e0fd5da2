"""How the operands of a GEMM lie in DDR, and how shims walk over them.

`rows` are row-major matrices. In `packed_b`, B is a row of tiles (k, n), in the order
in which a column of the array takes them. In `tiles`, a stored matrix (rows, columns)
is [rows/16][columns/16][2][2][8][8]: square tiles in blocks of 8 x 8, so that the
transfer alone decides whether it is A or B, and the cores whether it is transposed.
"""

from typing import NamedTuple

from xdna.gemm.array import (
    IMAGE_TILE,
    IMAGE_TILE_SIZE,
    INPUT_BYTES,
    GemmArray,
)

Orders = tuple[str, str]  # of A and B as they are stored: mk or km, kn or nk
ROW_MAJOR: Orders = ("mk", "kn")


class OperandImage(NamedTuple):
    """The image of A, B or C for a grid of blocks. Strides count elements."""

    size: int  # elements, of all batch entries; those past the last one's end included
    element_bytes: int
    batch_stride: int
    block_stride: int  # from one block to the next of the operand's own dimension
    # From the part of one core row (of A) or column (of B, C) to the next one's.
    core_stride: int
    row_block_stride: int  # of C alone: from one block row to the next
    # What a shim moves for one block, three dimensions, outermost first.
    sizes: tuple[int, int, int]
    strides: tuple[int, int, int]

    @property
    def num_bytes(self) -> int:
        return self.size * self.element_bytes


class Images(NamedTuple):
    a: OperandImage
    b: OperandImage
    c: OperandImage


def stored_multiples(array: GemmArray) -> tuple[int, int]:
    """What the images of A and B round m and n up to, at most to whole blocks.

    In `tiles` it is what k is rounded up to, so that an image does not depend on the
    use that a product makes of it.
    """
    if array.is_tiled:
        return array.slice_k, array.slice_k
    return array.block_m, array.block_n


def stored_size(multiple: int, size: int, num_blocks: int, block: int) -> int:
    """m or n of an image: `size` with the zeros that follow it.

    Args:
      multiple: of `stored_multiples`.
      size: what is left of the operand where the image begins.
      num_blocks, block: the blocks of a run, and the size of one.
    """
    return min(-(-size // multiple) * multiple, num_blocks * block)


def images_of(
    array: GemmArray,
    orders: Orders,
    padded_k: int,
    grid: tuple[int, int, int],
    left: tuple[int, int] | None = None,
) -> Images:
    """The images for a grid (batch, block rows, block columns).

    Args:
      orders: how A and B are stored; it matters for `tiles` alone, which keeps them so.
      left: m and n from the grid's beginning to the end of the operands; without them
        they fill all blocks, which takes the largest images.
    """
    batch, rows, columns = grid
    m, n, k = rows * array.block_m, columns * array.block_n, padded_k
    if array.is_tiled:
        stored_m, stored_n = (
            stored_size(multiple, size, num_blocks, block)
            for multiple, size, num_blocks, block in zip(
                stored_multiples(array),
                left or (m, n),
                (rows, columns),
                (array.block_m, array.block_n),
            )
        )
        a = _tiled(batch, stored_m, m, k, array.m, array.block_m, orders[0] == "mk")
        b = _tiled(batch, stored_n, n, k, array.n, array.block_n, orders[1] == "nk")
    else:
        a = _rows_of_a(array, batch, m, k)
        b = _b(array, batch, k, n)
    c = OperandImage(
        size=batch * m * n,
        element_bytes=array.out_bytes,
        batch_stride=m * n,
        block_stride=array.block_n,
        core_stride=array.n,
        row_block_stride=array.block_m * n,
        # each column's part (block_m, n) of a block, row by row
        sizes=(array.block_m, 1, array.n),
        strides=(n, 0, 1),
    )
    return Images(a, b, c)


def _rows_of_a(array: GemmArray, batch: int, m: int, k: int) -> OperandImage:
    """(m, k): each core row's m rows, slice after slice from left to right."""
    return OperandImage(
        size=batch * m * k,
        element_bytes=INPUT_BYTES,
        batch_stride=m * k,
        block_stride=array.block_m * k,
        core_stride=array.m * k,
        row_block_stride=0,
        sizes=(k // array.slice_k, array.m, array.slice_k),
        strides=(array.slice_k, k, 1),
    )


def _b(array: GemmArray, batch: int, k: int, n: int) -> OperandImage:
    """(k, n), (n, k) or packed: each column's n columns, slice after slice."""
    # Slices (slice_k, n) from top to bottom are all k rows. They go into the outermost
    # dimension, whose size has no limit.
    core_stride, sizes, strides = array.n, (k, 1, array.n), (n, 0, 1)
    if array.images == "packed_b":
        core_stride, sizes, strides = k * array.n, (1, 1, k * array.n), (0, 0, 1)
    elif array.b_column_major:  # slices (n, slice_k), from left to right
        core_stride = array.n * k
        sizes = (k // array.slice_k, array.n, array.slice_k)
        strides = (array.slice_k, k, 1)
    return OperandImage(
        size=batch * k * n,
        element_bytes=INPUT_BYTES,
        batch_stride=k * n,
        block_stride=array.num_columns * core_stride,
        core_stride=core_stride,
        row_block_stride=0,
        sizes=sizes,
        strides=strides,
    )


def _tiled(
    batch: int,
    free: int,
    read_free: int,
    k: int,
    core_free: int,
    block_free: int,
    free_is_rows: bool,
) -> OperandImage:
    """An operand in tiles: for each 16 of k, the tiles of a core's m or n.

    Blocks that stick out, of `read_free` in all, read what follows: the next entries of
    the batch and, past the last, zeros. They only change C where it is padding.
    """
    if free_is_rows:
        free_stride, k_stride = k // IMAGE_TILE * IMAGE_TILE_SIZE, IMAGE_TILE_SIZE
    else:
        free_stride, k_stride = IMAGE_TILE_SIZE, free // IMAGE_TILE * IMAGE_TILE_SIZE
    past_end = (read_free - free) // IMAGE_TILE * free_stride
    return OperandImage(
        size=batch * free * k + past_end,
        element_bytes=INPUT_BYTES,
        batch_stride=free * k,
        block_stride=block_free // IMAGE_TILE * free_stride,
        core_stride=core_free // IMAGE_TILE * free_stride,
        row_block_stride=0,
        sizes=(k // IMAGE_TILE, core_free // IMAGE_TILE, IMAGE_TILE_SIZE),
        strides=(k_stride, free_stride, 1),
    )
