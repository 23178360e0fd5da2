"""Operations on vectors that compute nothing: their elements in another order."""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AnyFloat,
    IndexType,
    IntegerAttr,
    IntegerType,
    VectorType,
)
from xdsl.ir import Attribute, Operation, SSAValue

from xdna.check.placed_design import Tile
from xdna.dialect.foreign import vectors
from xdna.dialect.foreign.vectors import type_of
from xdna.load.core_slots import unsupported

Lanes = list[SSAValue]
Adder = Callable[[Operation], SSAValue]  # adds an operation, returns its result
REARRANGED = (
    vector.BitcastOp,
    vector.BroadcastOp,
    vector.ExtractOp,
    vector.InsertOp,
    vector.ShuffleOp,
    vectors.ExtractStridedSliceOp,
    vectors.FromElementsOp,
    vectors.ShapeCastOp,
    vectors.TransposeOp,
)


def rearranged(
    tile: Tile, op: Operation, of: Callable[[SSAValue], Lanes], add: Adder
) -> Lanes:
    """The elements of the result; a result that is no vector is replaced by its own.

    Args:
      of: the elements of an operand.
    """
    match op:
        case vectors.ShapeCastOp():
            return of(op.source)
        case vectors.FromElementsOp():
            return list(op.elements)
        case vectors.TransposeOp():
            shape, order = type_of(op.vector).get_shape(), op.permutation.get_values()
            strides = _strides(shape)
            steps = [strides[int(i)] for i in order]
            return _picked(of(op.vector), type_of(op.result).get_shape(), steps)
        case vectors.ExtractStridedSliceOp():
            return _slice(tile, op, of(op.source))
        case vector.BroadcastOp():
            return _broadcast(of(op.source), op.source.type, type_of(op.vector))
        case vector.ShuffleOp():
            both = [*of(op.v1), *of(op.v2)]
            width = prod(type_of(op.v1).get_shape()[1:])
            rows = [int(i) for i in op.mask.get_values()]
            # -1 stands for any number.
            return [both[max(row, 0) * width + i] for row in rows for i in range(width)]
        case vector.BitcastOp():
            return _bitcast(tile, op, of(op.source), add)
        case vector.ExtractOp():
            lanes = of(op.vector)
            picked = _part(tile, op, type_of(op.vector), lanes, add)
            if not isinstance(op.result.type, VectorType):
                op.result.replace_all_uses_with(picked[0])
            return picked
        case vector.InsertOp():
            return _inserted(tile, op, of(op.source), of(op.dest), add)
        case _:
            raise AssertionError(op.name)


def number_of(type: Attribute) -> AnyFloat | None:
    """The type of a vector's elements, or of a number, if it is a float."""
    element = type.element_type if isinstance(type, VectorType) else type
    return element if isinstance(element, AnyFloat) else None


def _strides(shape: Sequence[int]) -> list[int]:
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


def _picked(
    lanes: Lanes, shape: Sequence[int], steps: Sequence[int], first: int = 0
) -> Lanes:
    places = product(*(range(size) for size in shape))
    return [
        lanes[first + sum(i * step for i, step in zip(place, steps, strict=True))]
        for place in places
    ]


def _slice(tile: Tile, op: vectors.ExtractStridedSliceOp, lanes: Lanes) -> Lanes:
    source, shape = type_of(op.source).get_shape(), type_of(op.result).get_shape()
    offsets, sizes, strides = (
        [int(number.value.data) for number in numbers]
        for numbers in (op.offsets, op.sizes, op.strides)
    )
    ends = [o + n for o, n in zip(offsets, sizes)]
    whole = [*sizes, *source[len(sizes) :]]
    if (
        set(strides) != {1}
        or list(shape) != whole
        or any(end > size for end, size in zip(ends, source))
    ):
        raise unsupported(tile, op, "needs steps of 1 within its source")
    steps = _strides(source)
    first = sum(o * step for o, step in zip(offsets, steps))
    return _picked(lanes, shape, steps, first)


def _broadcast(lanes: Lanes, source: Attribute, to: VectorType) -> Lanes:
    shape = to.get_shape()
    old = source.get_shape() if isinstance(source, VectorType) else ()
    own = [0 if n == 1 else step for n, step in zip(old, _strides(old))]
    return _picked(lanes, shape, [*[0] * (len(shape) - len(own)), *own])


def _position(
    tile: Tile, op: "vector.ExtractOp | vector.InsertOp", type: VectorType
) -> int | None:
    """The first element at the position; None: it is known at run time."""
    numbers = [int(number) for number in op.static_position.get_values()]
    shape = type.get_shape()
    if numbers == [DYNAMIC_INDEX] and len(shape) == 1:
        return None
    if any(not 0 <= n < size for n, size in zip(numbers, shape)):
        raise unsupported(tile, op, f"needs a constant position within {type}")
    return sum(n * step for n, step in zip(numbers, _strides(shape)))


def _part(
    tile: Tile, op: vector.ExtractOp, type: VectorType, lanes: Lanes, add: Adder
) -> Lanes:
    first = _position(tile, op, type)
    if first is None:
        picked = lanes[0]
        for i, lane in enumerate(lanes[1:], 1):
            is_it = _is_at(op.dynamic_position[0], i, add)
            picked = add(arith.SelectOp(is_it, lane, picked))
        return [picked]
    count = prod(type.get_shape()[len(op.static_position) :])
    return lanes[first : first + count]


def _inserted(
    tile: Tile, op: vector.InsertOp, source: Lanes, into: Lanes, add: Adder
) -> Lanes:
    first = _position(tile, op, type_of(op.dest))
    if first is not None:
        return [*into[:first], *source, *into[first + len(source) :]]
    return [
        add(arith.SelectOp(_is_at(op.dynamic_position[0], i, add), source[0], old))
        for i, old in enumerate(into)
    ]


def _is_at(index: SSAValue, number: int, add: Adder) -> SSAValue:
    constant = add(arith.ConstantOp(IntegerAttr(number, IndexType())))
    return add(arith.CmpiOp(index, constant, "eq"))


def _bitcast(tile: Tile, op: vector.BitcastOp, lanes: Lanes, add: Adder) -> Lanes:
    """Low bits first, as they lie in memory."""
    from_type, to_type = (
        type_of(op.source).element_type,
        type_of(op.result).element_type,
    )
    sizes = [getattr(type, "bitwidth", 0) for type in (from_type, to_type)]
    if not all(sizes) or max(sizes) % min(sizes) or max(sizes) > 64:
        raise unsupported(tile, op, "needs integers or floats of 1 to 64 bits")
    narrow, wide = (IntegerType(bits) for bits in sorted(sizes))
    bits, count = narrow.width.data, max(sizes) // min(sizes)
    numbers = [_as(lane, IntegerType(sizes[0]), add) for lane in lanes]
    if sizes[0] > sizes[1]:
        numbers = [
            add(arith.TruncIOp(_shifted(arith.ShRUIOp, n, i * bits, add), narrow))
            for n in numbers
            for i in range(count)
        ]
    elif sizes[0] < sizes[1]:
        parts = [add(arith.ExtUIOp(number, wide)) for number in numbers]
        numbers = []
        for begin in range(0, len(parts), count):
            whole = parts[begin]
            for i in range(1, count):
                part = _shifted(arith.ShLIOp, parts[begin + i], i * bits, add)
                whole = add(arith.OrIOp(whole, part))
            numbers.append(whole)
    return [_as(number, to_type, add) for number in numbers]


def _shifted(
    shift: type[arith.ShLIOp] | type[arith.ShRUIOp],
    number: SSAValue,
    by: int,
    add: Adder,
) -> SSAValue:
    if by == 0:
        return number
    type = number.type
    assert isinstance(type, IntegerType)
    return add(shift(number, add(arith.ConstantOp(IntegerAttr(by, type)))))


def _as(value: SSAValue, type: Attribute, add: Adder) -> SSAValue:
    return value if value.type == type else add(arith.BitcastOp(value, type))
