"""Operations of `memref` whose pretty form xDSL 0.74 does not read."""

from xdsl.dialects import memref
from xdsl.dialects.builtin import MemRefType
from xdsl.ir import Dialect, Operation
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.traits import NoMemoryEffect
from xdsl.utils.exceptions import VerifyException


@irdl_op_definition
class CastOp(IRDLOperation):
    """`memref.cast %x : memref<4xi32> to memref<?xi32>`"""

    name = "memref.cast"
    source = operand_def(MemRefType)
    dest = result_def(MemRefType)
    traits = traits_def(NoMemoryEffect())
    assembly_format = "$source attr-dict `:` type($source) `to` type($dest)"


@irdl_op_definition
class CopyOp(IRDLOperation):
    """`memref.copy %x, %y : memref<4xi32> to memref<4xi32>`"""

    name = "memref.copy"
    source = operand_def(MemRefType)
    destination = operand_def(MemRefType)

    def verify_(self) -> None:
        (source, sizes), (target, room) = (
            (type.element_type, type.get_shape())
            for type in (value.type for value in (self.source, self.destination))
            if isinstance(type, MemRefType)
        )
        if source != target or sizes != room:
            raise VerifyException("needs memrefs of one shape and element type")

    @classmethod
    def parse(cls, parser: Parser) -> "CopyOp":
        source = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        target = parser.parse_unresolved_operand()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        from_type = parser.parse_type()
        parser.parse_keyword("to")
        to_type = parser.parse_type()
        return cls.create(
            operands=parser.resolve_operands(
                [source, target], [from_type, to_type], parser.pos
            ),
            attributes=attributes,
        )


_OWN: list[type[Operation]] = [CastOp, CopyOp]
_names = {op.name for op in _OWN}
MemRef = Dialect(
    "memref",
    [*(op for op in memref.MemRef.operations if op.name not in _names), *_OWN],
    list(memref.MemRef.attributes),
)
