"""The program of a core of the GEMM array: an endless loop over runs.

    for each "go" of the host:
        for each of the run's tiles of C:
            sums = 0
            for each k step:
                sums += A tile * B tile
            C tile = sums, in C's type

A and B, and mostly C, are double buffers. Which half comes next outlives a run, as do
the DMA programs that fill and empty the halves.
"""

from collections.abc import Callable

from xdsl.builder import ImplicitBuilder
from xdsl.ir import Block, Region, SSAValue

from xdna.dialect.aie import EndOp
from xdna.gemm.array import (
    NUM_K_STEPS_PARAMETER,
    NUM_TILES_PARAMETER,
    GemmArray,
)
from xdna.gemm.programs.core_ops import (
    FOREVER,
    Values,
    acquire,
    as_index,
    by_half,
    call,
    first_half,
    index,
    loop,
    other,
    parameter,
    release,
)

Branch = Callable[[SSAValue], list[SSAValue]]


def core_program(array: GemmArray, buffers: Values, locks: Values) -> Region:
    """The body of an `aie.core`, for its tile's buffers and locks by name."""
    region = Region(Block())
    with ImplicitBuilder(region.block):
        first = first_half()
        forever = index(FOREVER)

        def run(halves: list[SSAValue]) -> list[SSAValue]:
            acquire(locks["go"])
            tiles = as_index(parameter(buffers, NUM_TILES_PARAMETER))
            k_steps = as_index(parameter(buffers, NUM_K_STEPS_PARAMETER))
            return loop(
                tiles, halves, lambda h: _tile(array, buffers, locks, k_steps, h)
            )

        loop(forever, [first, first], run)
        EndOp()
    return region


def _tile(
    array: GemmArray,
    buffers: Values,
    locks: Values,
    k_steps: SSAValue,
    halves: list[SSAValue],
) -> list[SSAValue]:
    """One tile of C.

    `halves` are two bits: whether the next A and B, and the next C, are in the first
    half of their buffers. Returns both for the tile after this one.
    """
    ab_half, c_half = halves

    def sum_products(c: SSAValue) -> list[SSAValue]:
        return _sum_products(array, buffers, locks, k_steps, ab_half, c)

    (ab_half,) = _sums_as_c(array, buffers, locks, c_half, sum_products)
    return [ab_half, other(c_half)]


def _sums_as_c(
    array: GemmArray,
    buffers: Values,
    locks: Values,
    c_half: SSAValue,
    sum_products: Branch,
) -> list[SSAValue]:
    """Runs `sum_products` on the buffer for sums, and hands over C.

    Args:
      c_half: whether the next C is the first of its two buffers.

    Returns:
      what `sum_products` returned.
    """

    def convert(c: SSAValue) -> list[SSAValue]:
        call("convert_f32_bf16", buffers["accumulator"], c)
        return []

    def into_c(branch: Branch) -> list[SSAValue]:
        """Runs the branch on the next C buffer, once that is free."""
        acquire(locks["c_free"])
        if array.num_c_buffers == 1:
            results = branch(buffers["c_0"])
        else:
            results = by_half(c_half, lambda i: branch(buffers[f"c_{i}"]))
        release(locks["c_full"])
        return results

    if array.out == array.sums:  # the sums are C
        return into_c(sum_products)
    results = sum_products(buffers["accumulator"])
    into_c(convert)
    return results


def _sum_products(
    array: GemmArray,
    buffers: Values,
    locks: Values,
    k_steps: SSAValue,
    ab_half: SSAValue,
    c: SSAValue,
) -> list[SSAValue]:
    """c (m, n) = the sum of A (m, k) B (k, n) over k steps; returns the next half."""
    sums = {"float32": "f32", "bfloat16": "bf16"}[array.sums]

    def multiply(halves: list[SSAValue]) -> list[SSAValue]:
        acquire(locks["a_full"])
        acquire(locks["b_full"])
        by_half(halves[0], lambda i: _multiply(sums, buffers, i, c))
        release(locks["a_free"])
        release(locks["b_free"])
        return [other(halves[0])]

    call(f"zero_{sums}", c)
    return loop(k_steps, [ab_half], multiply)


def _multiply(sums: str, buffers: Values, half: int, c: SSAValue) -> list[SSAValue]:
    call(f"matmul_bf16_{sums}", buffers[f"a_{half}"], buffers[f"b_{half}"], c)
    return []
