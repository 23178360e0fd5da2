"""A core's program without vectors: each becomes its elements, innermost last.

Integers compute as they do one by one. Floats move, are compared and are chosen; what a
vector unit rounds (sums, products) is refused: its rounding is that of the mode of the
accumulators, which the design does not say.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, cf, func, memref, ub, vector
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    VectorType,
)
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue

from xdna.check.placed_design import Tile
from xdna.dialect.foreign.index import BINARY_NAMES
from xdna.dialect.foreign.ops import GetCascadeOp, GetLanesOp, PutCascadeOp, PutLanesOp
from xdna.dialect.foreign.vectors import type_of
from xdna.load.core_slots import unsupported
from xdna.load.vectors.memory import Access, element_indices
from xdna.load.vectors.rearranged import REARRANGED, Lanes, number_of, rearranged

CASCADE_BITS = 512  # AMD AM020: of AIE-ML's cascade
# Operations that do the same to each element, exactly.
ELEMENTWISE = {
    *(f"arith.{name}i" for name in BINARY_NAMES),
    *("arith.cmpi", "arith.select", "arith.extsi", "arith.extui", "arith.trunci"),
    *("arith.index_cast", "arith.index_castui", "arith.bitcast"),
    *("arith.negf", "arith.cmpf", "arith.extf", "math.absf"),
}
REDUCTIONS = {  # by the name of vector.kind
    "add": arith.AddiOp,
    "mul": arith.MuliOp,
    "and": arith.AndIOp,
    "or": arith.OrIOp,
    "xor": arith.XOrIOp,
    "minsi": arith.MinSIOp,
    "maxsi": arith.MaxSIOp,
    "minui": arith.MinUIOp,
    "maxui": arith.MaxUIOp,
}


def unroll_vectors(tile: Tile, body: Region) -> None:
    """Changes a region of cf form in place.

    Raises:
      ValueError: naming the tile and the operation that has no elements, or whose
        numbers nobody knows.
    """
    _Unrolling(tile).region(body)


@dataclass
class _Unrolling:
    tile: Tile
    lanes: dict[SSAValue, Lanes] = field(default_factory=dict)
    old: list[Operation] = field(default_factory=list)

    def region(self, body: Region) -> None:
        arguments = [
            (block, argument)
            for block in body.blocks
            for argument in block.args
            if isinstance(argument.type, VectorType)
        ]
        for block, argument in arguments:
            types = self._element_types(argument.type)
            place = argument.index + 1
            self.lanes[argument] = [
                block.insert_arg(type, place + i) for i, type in enumerate(types)
            ]
        for block in body.blocks:
            for op in list(block.ops):
                if any(isinstance(v.type, VectorType) for v in _values(op)):
                    self._unroll(op)
        for op in reversed(self.old):
            assert op.parent is not None
            op.parent.erase_op(op, safe_erase=False)
        for block, argument in arguments:
            block.erase_arg(argument)

    def _of(self, value: SSAValue) -> Lanes:
        """The elements of a vector; another value alone."""
        if not isinstance(value.type, VectorType):
            return [value]
        if value not in self.lanes:
            assert isinstance(value, OpResult)
            self._unroll(value.op)
        return self.lanes[value]

    def _all_of(self, values: Sequence[SSAValue]) -> Lanes:
        return [lane for value in values for lane in self._of(value)]

    def _unroll(self, op: Operation) -> None:
        if op in self.old:
            return  # a block further up uses its result
        if op.name in ELEMENTWISE:
            lanes = self._elementwise(op)
        elif isinstance(op, REARRANGED):
            lanes = rearranged(self.tile, op, self._of, self._adder(op))
        else:
            lanes = self._other(op)
        self.old.append(op)
        if op.results and isinstance(op.results[0].type, VectorType):
            self.lanes[op.results[0]] = lanes

    def _other(self, op: Operation) -> Lanes:
        match op:
            case arith.ConstantOp():
                return self._constants(op)
            case ub.PoisonOp():
                types = self._element_types(op.results[0].type)
                return [self._add(op, ub.PoisonOp(type)) for type in types]
            case vector.LoadOp() | vector.TransferReadOp():
                source = op.base if isinstance(op, vector.LoadOp) else op.source
                places = element_indices(
                    self.tile, op, type_of(op.result), self._adder(op)
                )
                loads = [memref.LoadOp.get(source, place) for place in places]
                return [self._add(op, load) for load in loads]
            case vector.StoreOp() | vector.TransferWriteOp():
                to = op.base if isinstance(op, vector.StoreOp) else op.source
                places = element_indices(
                    self.tile, op, type_of(op.vector), self._adder(op)
                )
                for lane, place in zip(self._of(op.vector), places, strict=True):
                    self._insert(op, memref.StoreOp.get(lane, to, place))
                return []
            case vector.ReductionOp():
                return self._reduction(op)
            case PutCascadeOp():
                self._check_cascade(op, op.value.type)
                self._insert(op, PutLanesOp(operands=[self._of(op.value)]))
                return []
            case GetCascadeOp():
                self._check_cascade(op, op.value.type)
                got = GetLanesOp(result_types=[self._element_types(op.value.type)])
                self._insert(op, got)
                return list(got.results)
            case _:
                return self._flow(op)

    def _places(self, op: Access, value: SSAValue) -> list[list[SSAValue]]:
        return list(element_indices(self.tile, op, type_of(value), self._adder(op)))

    def _flow(self, op: Operation) -> Lanes:
        """Jumps, calls and returns: the elements stand in their vector's place."""
        match op:
            case cf.BranchOp():
                new: Operation = cf.BranchOp(op.successor, *self._all_of(op.arguments))
            case cf.ConditionalBranchOp():
                ways = (
                    (op.then_block, op.then_arguments),
                    (
                        op.else_block,
                        op.else_arguments,
                    ),
                )
                (then, first), (other, second) = (
                    (to, self._all_of(values)) for to, values in ways
                )
                new = cf.ConditionalBranchOp(op.cond, then, first, other, second)
            case func.ReturnOp():
                new = func.ReturnOp(*self._all_of(op.arguments))
            case func.CallOp():
                types = [t for r in op.results for t in self._element_types(r.type)]
                new = func.CallOp(op.callee, self._all_of(op.arguments), types)
                self._insert(op, new)
                results = iter(new.results)
                for result in op.results:
                    own: Lanes = [
                        next(results) for _ in self._element_types(result.type)
                    ]
                    if isinstance(result.type, VectorType):
                        self.lanes[result] = own
                    else:
                        result.replace_all_uses_with(own[0])
                return self.lanes.get(op.results[0], []) if op.results else []
            case _:
                what = "on vectors is not supported in the program of a virtual core"
                if any(number_of(v.type) is not None for v in _values(op)):
                    what += (
                        ": how the vector unit rounds is not in the design; write it "
                        "as a kernel and give that with --kernels"
                    )
                raise unsupported(self.tile, op, what)
        self._insert(op, new)
        return []

    def _elementwise(self, op: Operation) -> Lanes:
        types = self._element_types(op.results[0].type)
        operands = [
            self._of(value) * (1 if isinstance(value.type, VectorType) else len(types))
            for value in op.operands
        ]
        return [
            self._add(
                op,
                type(op).create(
                    operands=lanes, result_types=[of], properties=dict(op.properties)
                ),
            )
            for of, *lanes in zip(types, *operands, strict=True)
        ]

    def _constants(self, op: arith.ConstantOp) -> Lanes:
        types, value = self._element_types(op.result.type), op.value
        if not isinstance(value, DenseIntOrFPElementsAttr):
            raise unsupported(self.tile, op, f"needs numbers, got {value}")
        numbers = list(value.get_values())
        numbers *= len(types) // len(numbers)
        lanes: Lanes = []
        for of, number in zip(types, numbers, strict=True):
            one: IntegerAttr | FloatAttr
            if isinstance(of, AnyFloat):
                one = FloatAttr(number, of)
            else:
                assert isinstance(of, IntegerType | IndexType)
                one = IntegerAttr(int(number), of)
            lanes.append(self._add(op, arith.ConstantOp(one)))
        return lanes

    def _reduction(self, op: vector.ReductionOp) -> Lanes:
        combine = REDUCTIONS.get(op.kind.data)
        if combine is None or not isinstance(op.dest.type, IntegerType):
            what = f"of kind {op.kind.data} and type {op.dest.type} is not supported"
            raise unsupported(self.tile, op, f"{what} on a virtual core")
        first, *rest = [*self._of(op.vector), *([] if op.acc is None else [op.acc])]
        for lane in rest:
            first = self._add(op, combine(first, lane))
        op.dest.replace_all_uses_with(first)
        return []

    def _check_cascade(self, op: Operation, type: Attribute) -> None:
        elements = self._element_types(type)
        bits = len(elements) * getattr(elements[0], "bitwidth", 0)
        if bits != CASCADE_BITS or getattr(elements[0], "bitwidth", 0) % 8:
            what = f"needs a vector of {CASCADE_BITS} bits in bytes, got {type}"
            raise unsupported(self.tile, op, what)

    def _element_types(self, type: Attribute) -> list[Attribute]:
        if not isinstance(type, VectorType):
            return [type]
        return [type.element_type] * type.element_count()

    def _adder(self, op: Operation) -> Callable[[Operation], SSAValue]:
        return lambda new: self._add(op, new)

    def _add(self, op: Operation, new: Operation) -> SSAValue:
        self._insert(op, new)
        return new.results[0]

    def _insert(self, op: Operation, new: Operation) -> None:
        block = op.parent
        assert isinstance(block, Block)
        block.insert_ops_before([new], op)


def _values(op: Operation) -> list[SSAValue]:
    return [*op.operands, *op.results]
