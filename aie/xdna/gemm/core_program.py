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

from collections.abc import Callable, Mapping

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, func, memref, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, i1
from xdsl.ir import Block, Region, SSAValue

from xdna.dialect.aie import EndOp, UseLockOp
from xdna.gemm.array import (
    NUM_K_STEPS_PARAMETER,
    NUM_TILES_PARAMETER,
    GemmArray,
)

FOREVER = 0xFFFFFFFF  # the longest loop that mlir-aie's compiler takes

Values = Mapping[str, SSAValue]
Branch = Callable[[SSAValue], list[SSAValue]]


def core_program(array: GemmArray, buffers: Values, locks: Values) -> Region:
    """The body of an `aie.core`, for its tile's buffers and locks by name."""
    region = Region(Block())
    with ImplicitBuilder(region.block):
        first = arith.ConstantOp(IntegerAttr(1, i1)).result
        forever = _index(FOREVER)

        def run(halves: list[SSAValue]) -> list[SSAValue]:
            _acquire(locks["go"])
            tiles = _parameter(buffers, NUM_TILES_PARAMETER)
            k_steps = _parameter(buffers, NUM_K_STEPS_PARAMETER)
            return _loop(
                tiles, halves, lambda h: _tile(array, buffers, locks, k_steps, h)
            )

        _loop(forever, [first, first], run)
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
        return _sum_products(buffers, locks, k_steps, ab_half, c)

    def convert(c: SSAValue) -> list[SSAValue]:
        _call("convert_f32_bf16", buffers["accumulator"], c)
        return []

    def into_c(branch: Branch) -> list[SSAValue]:
        """Runs the branch on the next C buffer, once that is free."""
        _acquire(locks["c_free"])
        if array.num_c_buffers == 1:
            results = branch(buffers["c_0"])
        else:
            results = _by_half(c_half, lambda i: branch(buffers[f"c_{i}"]))
        _release(locks["c_full"])
        return results

    if array.out == "float32":  # the sums are C
        (ab_half,) = into_c(sum_products)
    else:
        (ab_half,) = sum_products(buffers["accumulator"])
        into_c(convert)
    return [ab_half, _other(c_half)]


def _sum_products(
    buffers: Values, locks: Values, k_steps: SSAValue, ab_half: SSAValue, c: SSAValue
) -> list[SSAValue]:
    """c (m, n) = the sum of A (m, k) B (k, n) over k steps; returns the next half."""

    def multiply(halves: list[SSAValue]) -> list[SSAValue]:
        _acquire(locks["a_full"])
        _acquire(locks["b_full"])
        _by_half(halves[0], lambda i: _multiply(buffers, i, c))
        _release(locks["a_free"])
        _release(locks["b_free"])
        return [_other(halves[0])]

    _call("zero_f32", c)
    return _loop(k_steps, [ab_half], multiply)


def _multiply(buffers: Values, half: int, c: SSAValue) -> list[SSAValue]:
    _call("matmul_bf16_f32", buffers[f"a_{half}"], buffers[f"b_{half}"], c)
    return []


def _call(kernel: str, *arguments: SSAValue) -> None:
    func.CallOp(kernel, arguments, [])


def _acquire(lock: SSAValue) -> None:
    UseLockOp(lock, "AcquireGreaterEqual", 1)


def _release(lock: SSAValue) -> None:
    UseLockOp(lock, "Release", 1)


def _index(value: int) -> SSAValue:
    return arith.ConstantOp(IntegerAttr(value, IndexType())).result


def _parameter(buffers: Values, position: int) -> SSAValue:
    load = memref.LoadOp.get(buffers["parameters"], [_index(position)])
    return arith.IndexCastOp(load, IndexType()).result


def _other(half: SSAValue) -> SSAValue:
    return arith.XOrIOp(half, arith.ConstantOp(IntegerAttr(1, i1))).result


def _loop(
    count: SSAValue,
    carried: list[SSAValue],
    body: Callable[[list[SSAValue]], list[SSAValue]],
) -> list[SSAValue]:
    """`count` iterations of the body; each takes what the one before it returned."""
    block = Block(arg_types=[IndexType(), *(value.type for value in carried)])
    zero, one = _index(0), _index(1)
    with ImplicitBuilder(block):
        scf.YieldOp(*body(list(block.args[1:])))
    return list(scf.ForOp(zero, count, one, carried, Region(block)).results)


def _by_half(
    first_half: SSAValue, branch: Callable[[int], list[SSAValue]]
) -> list[SSAValue]:
    """branch(0) if `first_half` is true, else branch(1)."""
    regions = [Region(Block()), Region(Block())]
    for half, region in enumerate(regions):
        with ImplicitBuilder(region.block):
            results = branch(half)
            scf.YieldOp(*results)
    types = [value.type for value in results]
    return list(scf.IfOp(first_half, types, regions[0], regions[1]).results)
