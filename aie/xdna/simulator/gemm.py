"""A GEMM of any size on the virtual NPU: operands to images in DDR, and images to C."""

from collections.abc import Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from xdna.arithmetics import ARITHMETICS
from xdna.gemm.array import C_ARGUMENT, ELEMENT_BYTES, IMAGE_TILE
from xdna.gemm.images import OperandImage
from xdna.gemm.runs import Run
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import Plan

BF16 = np.dtype(ml_dtypes.bfloat16)
OUT_DTYPES = dict(zip(ELEMENT_BYTES, (BF16, np.dtype(np.float32))))

# Half of bfloat16's relative spacing 2^-7: a result is off by at most this share.
BF16_ROUNDING = 2.0**-8


@dataclass(frozen=True)
class Submission:
    """The words and buffers of one run of the array."""

    run: Run
    words: np.ndarray
    buffers: list[np.ndarray]  # images of A, B and C


def random_operands(plan: Plan, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A (batch, m, k) and B (batch, k, n), signed bfloat16, for the plan's own GEMM."""
    gemm, rng = plan.gemm, np.random.default_rng(seed)
    shapes = (gemm.batch, gemm.m, gemm.k), (gemm.batch, gemm.k, gemm.n)
    a, b = (rng.standard_normal(shape, np.float32).astype(BF16) for shape in shapes)
    return a, b


def submissions(plan: Plan, a: np.ndarray, b: np.ndarray) -> Iterator[Submission]:
    """The runs of a plan, for A (batch, m, k) and B (batch, k, n) of `plan.gemm`.

    If the plan is swapped, these are the caller's Bᵀ and Aᵀ.
    """
    array, padded_k = plan.array, plan.padded_k
    for run in plan.runs:
        batches, rows, columns = run.grid
        batch, row, column = (
            slice(first * size, (first + count) * size)
            for first, count, size in zip(
                run.start, run.grid, (1, array.block_m, array.block_n)
            )
        )
        # What the operands do not fill is zeros.
        m, n = rows * array.block_m, columns * array.block_n
        described = plan.images(run)
        stored_m = described.a.batch_stride // padded_k
        stored_n = described.b.batch_stride // padded_k
        padded_a = _padded(a[batch, row], (batches, stored_m, padded_k))
        padded_b = _padded(b[batch, :, column], (batches, padded_k, stored_n))
        images = [
            *map(_with_end, operand_images(plan, padded_a, padded_b), described),
            np.zeros((batches, m, n), OUT_DTYPES[array.out]),
        ]
        yield Submission(run, run_words(plan, run), images)


def _with_end(image: np.ndarray, described: OperandImage) -> np.ndarray:
    """The image, and the zeros past its end that transfers read."""
    missing = described.size - image.size
    return np.pad(image.reshape(-1), (0, missing)) if missing else image


def operand_images(plan: Plan, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """A (batch, m, k) and B (batch, k, n), padded, as they lie in DDR."""
    array, (a_order, b_order) = plan.array, plan.orders
    if array.is_tiled:
        if a_order == "km":
            a = a.swapaxes(1, 2)
        if b_order == "nk":
            b = b.swapaxes(1, 2)
        return [_in_tiles(a), _in_tiles(b)]
    if array.images == "packed_b":  # (batch, n / tile, k, tile)
        batch, k, n = b.shape
        b = b.reshape(batch, k, n // array.n, array.n).swapaxes(1, 2)
    elif array.b_column_major:  # (batch, n, k)
        b = b.swapaxes(1, 2)
    return [a, np.ascontiguousarray(b)]


def _in_tiles(x: np.ndarray) -> np.ndarray:
    """(batch, rows, columns) as (batch, rows/16, columns/16, 2, 2, 8, 8)."""
    batch, rows, columns = x.shape
    side = IMAGE_TILE
    x = x.reshape(batch, rows // side, side // 8, 8, columns // side, side // 8, 8)
    return np.ascontiguousarray(x.transpose(0, 1, 4, 2, 5, 3, 6))


def result(plan: Plan, finished: list[Submission]) -> np.ndarray:
    """C (batch, m, n) from the images of finished runs."""
    array, gemm = plan.array, plan.gemm
    c = np.empty((gemm.batch, gemm.m, gemm.n), OUT_DTYPES[array.out])
    for one in finished:
        batch, row, column = one.run.start
        part = c[batch:, row * array.block_m :, column * array.block_n :]
        image = one.buffers[C_ARGUMENT]
        # The image may be larger than what is left of C, or smaller.
        part = part[tuple(slice(size) for size in image.shape)]
        part[...] = image[tuple(slice(size) for size in part.shape)]
    return c


def largest_error(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, arithmetic: str
) -> tuple[float, float]:
    """The largest error of C = A B against NumPy in float64, and its bound.

    Both are shares of the accumulated mass Σ|a||b| of an element. The rounding of a
    bfloat16 result is not counted. NaN in C gives NaN.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    expected, mass = a @ b, np.abs(a) @ np.abs(b)
    error = np.abs(c.astype(np.float64) - expected)
    if c.dtype == BF16:
        error = np.where(
            np.isnan(error),
            error,
            np.maximum(error - BF16_ROUNDING * np.abs(expected), 0),
        )
    share = error / np.where(mass > 0, mass, 1.0)
    return float(np.max(share)), ARITHMETICS[arithmetic].error_bound


def _padded(part: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    image = np.zeros(shape, BF16)
    image[tuple(slice(size) for size in part.shape)] = part
    return image
