"""Operations of a core's program, in short: calls, locks, parameters, loops."""

from collections.abc import Callable, Mapping

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, func, memref, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, i1
from xdsl.ir import Block, Region, SSAValue

from xdna.dialect.aie import UseLockOp

FOREVER = 0xFFFFFFFF  # the longest loop that mlir-aie's compiler takes

Values = Mapping[str, SSAValue]


def first_half() -> SSAValue:
    """The bit that says that the next buffer of two is the first."""
    return arith.ConstantOp(IntegerAttr(1, i1)).result


def call(kernel: str, *arguments: SSAValue) -> None:
    func.CallOp(kernel, arguments, [])


def acquire(lock: SSAValue) -> None:
    UseLockOp(lock, "AcquireGreaterEqual", 1)


def release(lock: SSAValue) -> None:
    UseLockOp(lock, "Release", 1)


def index(value: int) -> SSAValue:
    return arith.ConstantOp(IntegerAttr(value, IndexType())).result


def parameter(buffers: Values, position: int) -> SSAValue:
    """A word of the core's parameter buffer, i32."""
    load = memref.LoadOp.get(buffers["parameters"], [index(position)])
    return load.results[0]


def as_index(value: SSAValue) -> SSAValue:
    return arith.IndexCastOp(value, IndexType()).result


def other(half: SSAValue) -> SSAValue:
    return arith.XOrIOp(half, arith.ConstantOp(IntegerAttr(1, i1))).result


def loop(
    count: SSAValue,
    carried: list[SSAValue],
    body: Callable[[list[SSAValue]], list[SSAValue]],
) -> list[SSAValue]:
    """`count` iterations of the body; each takes what the one before it returned."""
    return counted_loop(count, carried, lambda _, values: body(values))


def counted_loop(
    count: SSAValue,
    carried: list[SSAValue],
    body: Callable[[SSAValue, list[SSAValue]], list[SSAValue]],
) -> list[SSAValue]:
    """A loop whose body also takes the number of the iteration."""
    block = Block(arg_types=[IndexType(), *(value.type for value in carried)])
    zero, one = index(0), index(1)
    with ImplicitBuilder(block):
        scf.YieldOp(*body(block.args[0], list(block.args[1:])))
    return list(scf.ForOp(zero, count, one, carried, Region(block)).results)


def equal(a: SSAValue, b: SSAValue) -> SSAValue:
    return arith.CmpiOp(a, b, "eq").result


def only_if(condition: SSAValue, branch: Callable[[], None]) -> None:
    region = Region(Block())
    with ImplicitBuilder(region.block):
        branch()
        scf.YieldOp()
    scf.IfOp(condition, [], region)


def by_half(
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
