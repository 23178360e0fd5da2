"""Floats of a core's program as instructions: arithmetic in IEEE's formats.

A core computes on single floats in software, as its compiler's runtime does: rounded to
nearest even. What the vendor approximates from tables, such as `math.exp`, is refused.
"""

from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float32Type,
    Float64Type,
    IntegerAttr,
    IntegerType,
)
from xdsl.ir import Attribute, Operation

from xdna.load.core_slots import INDEX_BITS, Slots, unsupported

Word = str | int
# Names in a configuration.
BINARY = {
    "arith.addf": "add",
    "arith.subf": "sub",
    "arith.mulf": "mul",
    "arith.divf": "div",
    "arith.minimumf": "min",  # NaN if either is
    "arith.maximumf": "max",
    "arith.minnumf": "minnum",  # the other one if one is NaN
    "arith.maxnumf": "maxnum",
}
UNARY = {
    "arith.negf": "neg",
    "math.absf": "abs",
    "math.ceil": "ceil",
    "math.floor": "floor",
    "math.roundeven": "roundeven",
    "math.sqrt": "sqrt",
    "math.trunc": "trunc",
}
FROM_INTEGER = {"arith.sitofp": 1, "arith.uitofp": 0}  # whether it is signed
TO_INTEGER = {"arith.fptosi": 1, "arith.fptoui": 0}
FORMATS = {BFloat16Type: "bf16", Float32Type: "f32", Float64Type: "f64"}


def float_words(slots: Slots, op: Operation) -> list[Word] | None:
    """The instruction of an operation on floats; None for other operations.

    Raises:
      ValueError: naming a format that cores do not have.
    """
    if op.name in BINARY:
        kind: list[Word] = ["float", BINARY[op.name]]
    elif op.name in UNARY:
        kind = ["float", UNARY[op.name]]
    elif op.name == "arith.cmpf":
        kind = ["float_compare", predicate_of(op)]
        return [*kind, _format(slots, op, op.operands[0].type), *_slots(slots, op)]
    elif isinstance(op, arith.ExtFOp | arith.TruncFOp):
        formats = [_format(slots, op, value.type) for value in (op.input, op.result)]
        return ["float_cast", *formats, *_slots(slots, op)]
    elif op.name in FROM_INTEGER:
        operand, result = op.operands[0].type, op.results[0].type
        bits = slots.bits(op, operand)
        kind = ["float_from", FROM_INTEGER[op.name], bits]
        return [*kind, _format(slots, op, result), *_slots(slots, op)]
    elif op.name in TO_INTEGER:
        operand, result = op.operands[0].type, op.results[0].type
        kind = ["float_to", TO_INTEGER[op.name], slots.bits(op, result)]
        return [*kind, _format(slots, op, operand), *_slots(slots, op)]
    elif isinstance(op, arith.BitcastOp):
        return _bitcast(slots, op)
    else:
        return None
    words = _slots(slots, op)
    if op.name in UNARY:
        words.append(words[-1])  # one form for one operand and for two
    return [*kind, _format(slots, op, op.results[0].type), *words]


def predicate_of(op: Operation) -> int:
    """The number of an arith.cmpi's or arith.cmpf's predicate."""
    predicate = op.properties["predicate"]
    assert isinstance(predicate, IntegerAttr)
    return int(predicate.value.data)


def _bitcast(slots: Slots, op: arith.BitcastOp) -> list[Word]:
    # Floats lie in slots zero-extended, integers sign-extended.
    bits = slots.bits(op, op.result.type)
    if isinstance(op.result.type, IntegerType):
        return ["cast", 1, bits, bits, *_slots(slots, op)]
    return ["cast", 0, bits, INDEX_BITS, *_slots(slots, op)]


def _format(slots: Slots, op: Operation, type: Attribute) -> str:
    for known, name in FORMATS.items():
        if isinstance(type, known):
            return name
    what = f"needs floats of type {', '.join(FORMATS.values())}, got {type}"
    raise unsupported(slots.tile, op, what)


def _slots(slots: Slots, op: Operation) -> list[Word]:
    return [slots(op, value) for value in (*op.results, *op.operands)]
