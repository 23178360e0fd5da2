"""A core's program as the flat instructions of a configuration.

Constants are set once, at the start. Block arguments become moves before the jump, in
an order that has the effect of moving all at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, cf, func, memref
from xdsl.dialects.builtin import IntegerType, MemRefType
from xdsl.ir import Block, Operation, SSAValue
from xdsl.pattern_rewriter import GreedyRewritePatternApplier, PatternRewriteWalker
from xdsl.transforms.convert_scf_to_cf import ForLowering, IfLowering

from xdna.check.placed_design import Tile, buffer_of, element_bytes, lock_of
from xdna.dialect.aie import BufferOp, CoreOp, EndOp, LockOp, UseLockOp
from xdna.load.core_calls import Kernels
from xdna.load.core_slots import TEMPORARY, Slots, unsupported
from xdna.load.lock_value import lock_value

WIDTHS = (1, 2, 4, 8)  # bytes of a memory access
# Names in a configuration, which are those of arith without the last letter.
BINARY = {
    f"arith.{name}i": name
    for name in (
        *("add", "sub", "mul", "and", "or", "xor", "shl", "shrs", "shru"),
        *("divs", "divu", "rems", "remu", "mins", "maxs", "minu", "maxu"),
    )
}
CASTS = {  # whether the operand is signed
    "arith.index_cast": True,
    "arith.index_castui": False,
    "arith.extsi": True,
    "arith.extui": False,
    "arith.trunci": True,
}


class _Label:
    """The target of a jump; its position is known once all instructions are."""

    position = -1


Word = str | int | _Label
Labels = Mapping[Block, _Label]


def core_lines(
    tile: Tile,
    core: CoreOp,
    buffers: Mapping[BufferOp, int],
    locks: Mapping[LockOp, int],
    kernels: Kernels,
) -> list[list[object]]:
    """The `core` item of a configuration; `buffers` and `locks` have their indices.

    Lowers `core` to cf, in place.

    Raises:
      ValueError: naming the tile and the operation that has no counterpart.
    """
    # The pass convert-scf-to-cf without its elimination of dead code.
    patterns = GreedyRewritePatternApplier(
        [IfLowering(), ForLowering()], dce_enabled=False
    )
    PatternRewriteWalker(patterns).rewrite_region(core.body)
    lowering = _CoreLowering(tile, buffers, locks, kernels, Slots(tile))
    lowering.lower(core)
    slots, program = lowering.slots, lowering.program
    first = len(slots.constants)
    head = ["core", *tile, slots.count, first + len(program)]
    constants = [["const", slot, value] for value, slot in slots.constants.items()]
    return [head, *constants, *(_resolved(words, first) for words in program)]


@dataclass
class _CoreLowering:
    tile: Tile
    buffers: Mapping[BufferOp, int]
    locks: Mapping[LockOp, int]
    kernels: Kernels
    slots: Slots
    program: list[list[Word]] = field(default_factory=list)

    def lower(self, core: CoreOp) -> None:
        labels = {block: _Label() for block in core.body.blocks}
        for block, label in labels.items():
            label.position = len(self.program)
            for op in block.ops:
                self._lower(op, labels)
        if not self.program:
            raise unsupported(self.tile, core, "needs an aie.end, got no operations")

    def _lower(self, op: Operation, labels: Labels) -> None:
        match op:
            case arith.ConstantOp():
                pass  # `Slots` sets it if it is used
            case _ if op.name in BINARY:
                bits = self.slots.bits(op, op.results[0].type)
                self._emit("binary", BINARY[op.name], bits, *self._all(op))
            case arith.CmpiOp():
                bits = self.slots.bits(op, op.lhs.type)
                self._emit("compare", op.predicate.value.data, bits, *self._all(op))
            case arith.SelectOp():
                self._emit("select", *self._all(op))
            case _ if op.name in CASTS:
                values = op.operands[0], op.results[0]
                bits_of_both = [self.slots.bits(op, value.type) for value in values]
                self._emit("cast", int(CASTS[op.name]), *bits_of_both, *self._all(op))
            case memref.LoadOp():
                buffer, width, *indices = self._element(op, op.memref, op.indices)
                self._emit("load", self.slots(op, op.res), buffer, width, 1, *indices)
            case memref.StoreOp():
                element = self._element(op, op.memref, op.indices)
                self._emit("store", self.slots(op, op.value), *element)
            case UseLockOp():
                self._use_lock(op)
            case func.CallOp():
                self._call(op)
            case cf.BranchOp():
                self._go(op, op.successor, op.arguments, labels)
            case cf.ConditionalBranchOp():
                self._branch(op, labels)
            case EndOp():
                self._emit("halt")
            case _:
                what = "is not supported in the program of a virtual core"
                raise unsupported(self.tile, op, what)

    def _all(self, op: Operation) -> list[int]:
        """Slots of the result and of the operands."""
        return [self.slots(op, value) for value in (*op.results, *op.operands)]

    def _element(
        self, op: Operation, buffer: SSAValue, indices: Sequence[SSAValue]
    ) -> list[int]:
        """Words of an element: buffer, bytes, rank, each index with its byte stride."""
        type = buffer.type
        assert isinstance(type, MemRefType)
        width, strides = element_bytes(type), type.get_strides() or ()
        if not isinstance(type.element_type, IntegerType) or width not in WIDTHS:
            what = f"needs elements of type i8, i16, i32 or i64, got {type}"
            raise unsupported(self.tile, op, what)
        words = [self._buffer(op, buffer), width, len(indices)]
        for index, stride in zip(indices, strides, strict=True):
            assert stride is not None  # a buffer's shape is static
            words += [self.slots(op, index), stride * width]
        return words

    def _buffer(self, op: Operation, value: SSAValue) -> int:
        buffer = buffer_of(value)
        if buffer is None:
            raise unsupported(self.tile, op, "needs an aie.buffer, got another memref")
        return self.buffers[buffer]

    def _use_lock(self, op: UseLockOp) -> None:
        lock = lock_of(op.lock)
        assert lock is not None  # the target check found no other operands
        verb = "release" if op.action_name == "Release" else "acquire"
        self._emit(verb, self.locks[lock], lock_value(op))

    def _call(self, op: func.CallOp) -> None:
        try:
            kernel = self.kernels.index(op)
        except ValueError as error:
            raise unsupported(self.tile, op, str(error)) from None
        words: list[Word] = ["call", kernel, len(op.arguments)]
        for argument in op.arguments:
            if isinstance(argument.type, MemRefType):
                words += ["b", self._buffer(op, argument)]
            else:
                words += ["s", self.slots(op, argument)]
        self._emit(*words)

    def _go(
        self, op: Operation, to: Block, arguments: Sequence[SSAValue], labels: Labels
    ) -> None:
        targets = [self.slots(op, value) for value in to.args]
        sources = [self.slots(op, value) for value in arguments]
        for target, source in _moves_at_once(dict(zip(targets, sources, strict=True))):
            self._emit("move", target, source)
        self._emit("jump", labels[to])

    def _branch(self, op: cf.ConditionalBranchOp, labels: Labels) -> None:
        ways = (op.then_block, op.then_arguments), (op.else_block, op.else_arguments)
        # With arguments, the branch jumps to their moves first.
        first = [_Label() if arguments else labels[to] for to, arguments in ways]
        self._emit("branch", self.slots(op, op.cond), *first)
        for label, (to, arguments) in zip(first, ways):
            if arguments:
                label.position = len(self.program)
                self._go(op, to, arguments, labels)

    def _emit(self, *words: Word) -> None:
        self.program.append(list(words))


def _moves_at_once(moves: dict[int, int]) -> Iterator[tuple[int, int]]:
    """(target, source)s, ordered so that each source is read before it is written."""
    left = {target: source for target, source in moves.items() if target != source}
    while left:
        free = next((target for target in left if target not in left.values()), None)
        if free is not None:
            yield free, left.pop(free)
            continue
        # Only cycles are left: save one source, which breaks its cycle.
        target, source = next(iter(left.items()))
        yield TEMPORARY, source
        left[target] = TEMPORARY


def _resolved(words: Sequence[Word], first: int) -> list[object]:
    # `first` constants lie before the program's own instructions.
    return [
        first + word.position if isinstance(word, _Label) else word for word in words
    ]
