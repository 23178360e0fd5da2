"""The designs that a search tries: all that fit the memories of a device.

Data memory decides exactly, program memory by an estimate.
"""

import itertools
from collections.abc import Iterator

from xdna.gemm.array import TILE, GemmArray
from xdna.search.program_memory import fits_program_memory

TILED_M = (32, 64, 96, 112, 128, 144)
TILED_K, TILED_N = (32, 64, 96, 128, 192), (32, 64, 96, 128)
PART_ROWS, C_BUFFERS = (16, 32, 0), (1, 2)  # rows of a part of A, 0 for all
RESIDENT = (("", 1), *((operand, count) for operand in "ab" for count in (4, 6, 8, 12)))
ROWS_M, ROWS_K, ROWS_N = (32, 64, 96), (32, 64), (32, 48, 64, 96)
SLICES = (1, 2, 4)  # tiles of k


def paper_design(device: str, out: str = "float32") -> GemmArray:
    """The design of Rösti & Franz (arXiv 2504.03083): each operand is read again."""
    return GemmArray(device, *TILE, out)


def candidates(device: str, out: str = "float32") -> Iterator[GemmArray]:
    """Designs for C of type `out`: tile, parts, buffers, images and residency."""
    yield paper_design(device, out)
    designs = itertools.chain(_of_tiles(device, out), _of_rows(device, out))
    yield from filter(fits_program_memory, designs)


def _of_tiles(device: str, out: str) -> Iterator[GemmArray]:
    for m, k, n, rows, (resident, slots), c_buffers in itertools.product(
        TILED_M, TILED_K, TILED_N, PART_ROWS, RESIDENT, C_BUFFERS
    ):
        if rows == m:  # as all
            continue
        try:
            yield GemmArray(
                device,
                m,
                k,
                n,
                out,
                images="tiles",
                parts=m // rows if rows else 1,
                c_buffers=c_buffers,
                resident=resident,
                resident_slots=slots,
            )
        except ValueError:  # it does not fit
            continue


def _of_rows(device: str, out: str) -> Iterator[GemmArray]:
    for m, k, n, images, slices, c_buffers in itertools.product(
        ROWS_M, ROWS_K, ROWS_N, ("rows", "packed_b"), SLICES, C_BUFFERS
    ):
        try:
            yield GemmArray(
                device,
                m,
                k,
                n,
                out,
                images=images,
                c_buffers=c_buffers,
                k_slice=k * slices,
            )
        except ValueError:
            continue
