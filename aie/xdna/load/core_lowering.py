"""A core's program as the flat instructions of a configuration.

Constants are set once, at the start. Block arguments become moves before the jump, in
an order that has the effect of moving all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, cf, func, memref, ub
from xdsl.dialects.builtin import AnyFloat, IntegerType, MemRefType
from xdsl.ir import Block, Operation, Region, SSAValue

from xdna.check.placed_design import Tile, element_bytes, lock_of
from xdna.dialect.aie import BufferOp, CoreOp, EndOp, LockOp, UseLockOp
from xdna.dialect.foreign import index
from xdna.load.core_calls import Kernels
from xdna.load.core_floats import float_words, predicate_of
from xdna.load.core_flow import lower_scf, moves_at_once
from xdna.load.core_places import VIEWS, Places, strides_of
from xdna.load.core_slots import (
    INDEX_BITS,
    RENAMINGS,
    Slots,
    unsupported,
)
from xdna.load.vectors.unroll import unroll_vectors
from xdna.load.waits import STREAMED, lock_value, stream_words

WIDTHS = (1, 2, 4, 8)  # bytes of a memory access
# Names in a configuration, which are those of arith without the last letter.
BINARY = {f"arith.{name}i": name for name in index.BINARY_NAMES} | {
    f"index.{name}": name for name in index.BINARY_NAMES
}
EQUAL = 0  # of arith.cmpi's predicates
CASTS = {  # whether the operand is signed
    "arith.index_cast": True,
    "arith.index_castui": False,
    "index.casts": True,
    "index.castu": False,
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
    lower_scf(core.body)
    unroll_vectors(tile, core.body)
    lowering = _CoreLowering(tile, buffers, locks, kernels, Slots(tile, buffers))
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
    # The calls of functions with a body that are being lowered, innermost last, and
    # where each goes on.
    inlined: list[tuple[func.CallOp, _Label]] = field(default_factory=list)

    def lower(self, core: CoreOp) -> None:
        self._lower_blocks(core.body)
        if not self.program:
            raise unsupported(self.tile, core, "needs an aie.end, got no operations")

    def _lower_blocks(self, body: Region) -> None:
        labels = {block: _Label() for block in body.blocks}
        for block, label in labels.items():
            label.position = len(self.program)
            for op in block.ops:
                self._lower(op, labels)

    def _lower(self, op: Operation, labels: Labels) -> None:
        match op:
            case arith.ConstantOp() | index.ConstantOp() | index.BoolConstantOp():
                pass  # `Slots` sets it if it is used
            case ub.PoisonOp():
                pass  # any number will do, and slots begin with 0
            case _ if op.name in BINARY:
                bits = self.slots.bits(op, op.results[0].type)
                self._emit("binary", BINARY[op.name], bits, *self._all(op))
            case _ if op.name == "arith.cmpi":
                bits = self.slots.bits(op, op.operands[0].type)
                self._emit("compare", predicate_of(op), bits, *self._all(op))
            case index.CmpOp():
                self._emit("compare", op.predicate, INDEX_BITS, *self._all(op))
            case _ if op.name == "arith.select":
                self._emit("select", *self._all(op))
            case _ if op.name in CASTS:
                values = op.operands[0], op.results[0]
                bits_of_both = [self.slots.bits(op, value.type) for value in values]
                self._emit("cast", int(CASTS[op.name]), *bits_of_both, *self._all(op))
            case memref.LoadOp():
                self._load(op)
            case memref.StoreOp():
                self._store(op)
            case _ if isinstance(op, VIEWS):
                for words in Places(self.slots).view(op):
                    self._emit(*words)
            case _ if isinstance(op, RENAMINGS):
                pass  # `Slots` sees through it
            case UseLockOp():
                self._use_lock(op)
            case _ if isinstance(op, STREAMED):
                self._emit(*stream_words(self.slots, op))
            case func.CallOp():
                self._call(op)
            case func.ReturnOp():
                self._return(op)
            case cf.BranchOp():
                self._go(op, op.successor, op.arguments, labels)
            case cf.ConditionalBranchOp():
                self._branch(op, labels)
            case cf.SwitchOp():
                self._switch(op, labels)
            case EndOp():
                self._emit("halt")
            case _ if (of_float := float_words(self.slots, op)) is not None:
                self._emit(*of_float)
            case _:
                what = "is not supported in the program of a virtual core"
                raise unsupported(self.tile, op, what)

    def _all(self, op: Operation) -> list[int]:
        """Slots of the result and of the operands."""
        return [self.slots(op, value) for value in (*op.results, *op.operands)]

    def _load(self, op: memref.LoadOp) -> None:
        width, place, indices = self._element(op, op.memref, op.indices)
        # Slots hold integers sign-extended, floats as bits.
        signed = int(not isinstance(op.res.type, AnyFloat))
        target = self.slots(op, op.res)
        self._emit(_named("load", place), target, place[1], width, signed, *indices)

    def _store(self, op: memref.StoreOp) -> None:
        width, place, indices = self._element(op, op.memref, op.indices)
        source = self.slots(op, op.value)
        self._emit(_named("store", place), source, place[1], width, *indices)

    def _element(
        self, op: Operation, value: SSAValue, indices: Sequence[SSAValue]
    ) -> tuple[int, list[str | int], list[int]]:
        """Bytes of an element, its memref's place, and words of its indices.

        They are the rank, and each index with its byte stride.
        """
        type = value.type
        assert isinstance(type, MemRefType)
        width = element_bytes(type)
        if not isinstance(type.element_type, IntegerType | AnyFloat) or (
            width not in WIDTHS
        ):
            what = f"needs elements of 1, 2, 4 or 8 bytes, got {type}"
            raise unsupported(self.tile, op, what)
        strides = strides_of(self.slots, op, value)
        words = [len(indices)]
        for number, stride in zip(indices, strides, strict=True):
            words += [self.slots(op, number), stride * width]
        return width, Places(self.slots).words(op, value), words

    def _use_lock(self, op: UseLockOp) -> None:
        lock = lock_of(op.lock)
        assert lock is not None  # the target check found no other operands
        verb = "release" if op.action_name == "Release" else "acquire"
        self._emit(verb, self.locks[lock], lock_value(op))

    def _call(self, op: func.CallOp) -> None:
        function = self.kernels.declared.get(op.callee.root_reference.data)
        if function is not None and not function.is_declaration:
            self._inline(op, function)
            return
        try:
            kernel = self.kernels.index(op)
        except ValueError as error:
            raise unsupported(self.tile, op, str(error)) from None
        words: list[Word] = ["call", kernel, len(op.arguments)]
        for argument in op.arguments:
            if lock_of(argument) is not None:
                what = "passes a lock, which a kernel of a virtual core cannot use"
                raise unsupported(self.tile, op, what)
            if isinstance(argument.type, MemRefType):
                words += Places(self.slots).words(op, argument)
            else:
                words += ["s", self.slots(op, argument)]
        self._emit(*words)

    def _inline(self, op: func.CallOp, function: func.FuncOp) -> None:
        callers = [call for call, _ in self.inlined]
        if any(call.callee == op.callee for call in callers):
            what = f"calls {function.sym_name.data} within itself"
            raise unsupported(self.tile, op, what)
        lower_scf(function.body)
        unroll_vectors(self.tile, function.body)
        after = _Label()
        self.inlined.append((op, after))
        self._move(op, function.args, op.arguments)
        self._lower_blocks(function.body)
        self.inlined.pop()
        after.position = len(self.program)

    def _return(self, op: func.ReturnOp) -> None:
        if not self.inlined:
            raise unsupported(self.tile, op, "is not within a function")
        call, after = self.inlined[-1]
        self._move(op, call.results, op.arguments)
        self._emit("jump", after)

    def _go(
        self, op: Operation, to: Block, arguments: Sequence[SSAValue], labels: Labels
    ) -> None:
        self._move(op, to.args, arguments)
        self._emit("jump", labels[to])

    def _move(
        self, op: Operation, to: Sequence[SSAValue], values: Sequence[SSAValue]
    ) -> None:
        targets = [self.slots(op, value) for value in to]
        sources = [self.slots(op, value) for value in values]
        for target, source in moves_at_once(dict(zip(targets, sources, strict=True))):
            self._emit("move", target, source)

    def _branch(self, op: cf.ConditionalBranchOp, labels: Labels) -> None:
        ways = (op.then_block, op.then_arguments), (op.else_block, op.else_arguments)
        # With arguments, the branch jumps to their moves first.
        first = [_Label() if arguments else labels[to] for to, arguments in ways]
        self._emit("branch", self.slots(op, op.cond), *first)
        for label, (to, arguments) in zip(first, ways):
            if arguments:
                label.position = len(self.program)
                self._go(op, to, arguments, labels)

    def _switch(self, op: cf.SwitchOp, labels: Labels) -> None:
        bits = self.slots.bits(op, op.flag.type)
        numbers = () if op.case_values is None else op.case_values.get_values()
        is_case = self.slots.new()
        for number, to, arguments in zip(numbers, op.case_blocks, op.case_operand):
            case, following = _Label(), _Label()
            constant = self.slots.constant(int(number))
            flag = self.slots(op, op.flag)
            self._emit("compare", EQUAL, bits, is_case, flag, constant)
            self._emit("branch", is_case, case, following)
            case.position = len(self.program)
            self._go(op, to, arguments, labels)
            following.position = len(self.program)
        self._go(op, op.default_block, op.default_operands, labels)

    def _emit(self, *words: Word) -> None:
        self.program.append(list(words))


def _named(verb: str, place: Sequence[str | int]) -> str:
    """The instruction for a buffer, or for a place that is known at run time."""
    return verb if place[0] == "b" else f"{verb}_at"


def _resolved(words: Sequence[Word], first: int) -> list[object]:
    # `first` constants lie before the program's own instructions.
    return [
        first + word.position if isinstance(word, _Label) else word for word in words
    ]
