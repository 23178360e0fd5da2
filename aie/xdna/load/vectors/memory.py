"""Which elements of a memref a vector is loaded from or stored to."""

from collections.abc import Callable, Iterator
from itertools import product

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import (
    IndexType,
    IntegerAttr,
    MemRefType,
    VectorType,
)
from xdsl.ir import Operation, OpResult, SSAValue
from xdsl.ir.affine import AffineMap

from xdna.check.placed_design import Tile
from xdna.load.core_slots import unsupported

TRANSFERS = vector.TransferReadOp, vector.TransferWriteOp
Transfer = vector.TransferReadOp | vector.TransferWriteOp
Access = vector.LoadOp | vector.StoreOp | Transfer
Adder = Callable[[Operation], SSAValue]  # adds an operation, returns its result


def element_indices(
    tile: Tile, op: Access, type: VectorType, add: Adder
) -> Iterator[list[SSAValue]]:
    """The indices of each element of the vector, innermost last.

    Raises:
      ValueError: if it reads with a mask, in another order, or perhaps beyond a row.
    """
    if isinstance(op, TRANSFERS):
        _check_transfer(tile, op, type)
    sizes = type.get_shape()
    outer = len(op.indices) - len(sizes)
    moved: dict[tuple[int, int], SSAValue] = {}
    for steps in product(*(range(size) for size in sizes)):
        for dimension, step in enumerate(steps, outer):
            if (dimension, step) not in moved:
                index = op.indices[dimension]
                if step:
                    number = add(arith.ConstantOp(IntegerAttr(step, IndexType())))
                    index = add(arith.AddiOp(index, number))
                moved[dimension, step] = index
        inner = [moved[place] for place in enumerate(steps, outer)]
        yield [*op.indices[:outer], *inner]


def _check_transfer(tile: Tile, op: Transfer, type: VectorType) -> None:
    if op.mask is not None:
        raise unsupported(tile, op, "with a mask is not supported")
    rank, sizes = len(op.indices), type.get_shape()
    minor = AffineMap.minor_identity(rank, len(sizes))
    if op.permutation_map.data != minor:
        raise unsupported(tile, op, f"needs the order {minor}")
    source = op.source.type
    if not isinstance(source, MemRefType):
        raise unsupported(tile, op, f"needs a memref, got {source}")
    in_bounds = op.properties.get("in_bounds")
    known = [
        isinstance(flag, IntegerAttr) and bool(flag.value.data)
        for flag in getattr(in_bounds, "data", ())
    ] or [False] * len(sizes)
    memory = source.get_shape()[rank - len(sizes) :]
    for flag, size, room, index in zip(
        known, sizes, memory, op.indices[rank - len(sizes) :], strict=True
    ):
        # An access beyond the only dimension of a memref is beyond its buffer, too,
        # unless it is a view: such an access traps.
        is_whole = rank == 1 and source.layout.name == "none"
        begin = _constant(index)
        fits = begin is not None and 0 <= begin <= room - size
        if not (flag or is_whole or fits):
            raise unsupported(tile, op, "needs in_bounds = [true], to fill up no rows")


def _constant(value: SSAValue) -> int | None:
    op = value.op if isinstance(value, OpResult) else None
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr):
        number: int = op.value.value.data
        return number
    return None
