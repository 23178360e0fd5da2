"""The layouts of operands and sums in a core's memory."""

import numpy as np


def aligned(x, offset_bytes=0):
    """A flat copy on 64 bytes, or that far from it."""
    memory = np.empty(x.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + offset_bytes
    copy = memory[start : start + x.nbytes].view(x.dtype)
    copy[...] = x.ravel()
    return copy


def tiled(x, rows, cols):
    """A matrix as blocks of (rows, cols), in the order of a core's memory."""
    m, n = x.shape
    return x.reshape(m // rows, rows, n // cols, cols).transpose(0, 2, 1, 3)


def untiled(x, m, n, rows, cols):
    return (
        x.reshape(m // rows, n // cols, rows, cols).transpose(0, 2, 1, 3).reshape(m, n)
    )


def in_tiles(x, k_axis, k_major):
    """An operand in 16x16 tiles, in the order of a core's memory.

    Tiles are [k/16][lines/16], with lines the axis other than k. Inside a tile, rows
    are k if `k_major`, else lines; its blocks of 8x8 are in row-major order.
    """
    k, line = np.indices(x.shape) if k_axis == 0 else np.indices(x.shape)[::-1]
    row, col = (k % 16, line % 16) if k_major else (line % 16, k % 16)
    num_k, num_lines = -(-x.shape[k_axis] // 16), -(-x.shape[1 - k_axis] // 16)
    tile = k // 16 * num_lines + line // 16
    block = row // 8 * 2 + col // 8
    memory = np.zeros(num_k * num_lines * 256, x.dtype)
    memory[tile * 256 + block * 64 + row % 8 * 8 + col % 8] = x
    return memory
