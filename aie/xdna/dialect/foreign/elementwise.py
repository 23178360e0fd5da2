"""Operations of `arith` that xDSL 0.74 has for single numbers only, on vectors too.

They take the places of xDSL's, and read the flags that LLVM prints behind operands.
"""

from typing import ClassVar

from xdsl.dialects.arith import (
    CMPF_COMPARISON_OPERATIONS,
    CMPI_COMPARISON_OPERATIONS,
    FastMathFlagsAttr,
)
from xdsl.dialects.arith import Arith as XdslArith
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType, VectorType, i1
from xdsl.ir import Attribute, Dialect, Operation
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

FLAGS = "nneg", "overflow"  # they promise what a program must keep anyway


@irdl_op_definition
class SelectOp(IRDLOperation):
    """`arith.select %c, %a, %b : vector<8xi1>, vector<8xi32>`, or of one type only."""

    name = "arith.select"
    cond = operand_def()
    lhs = operand_def()
    rhs = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def verify_(self) -> None:
        if not self.lhs.type == self.rhs.type == self.result.type:
            raise VerifyException("chooses between values of its result's type")
        if _element(self.cond.type) != i1 or not (
            self.cond.type == i1 or _shape(self.cond.type) == _shape(self.lhs.type)
        ):
            raise VerifyException(f"needs one i1 or one each, got {self.cond.type}")

    @classmethod
    def parse(cls, parser: Parser) -> "SelectOp":
        names = parser.parse_comma_separated_list(
            parser.Delimiter.NONE, parser.parse_unresolved_operand
        )
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(
            parser.Delimiter.NONE, parser.parse_type
        )
        if len(types) == 1:
            types = [i1, *types]
        of_each = [*types, *types[1:]]
        return cls.create(
            operands=parser.resolve_operands(names, of_each, parser.pos),
            attributes=attributes,
            result_types=types[1:],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.operands, printer.print_ssa_value)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        types = [self.cond.type] * isinstance(self.cond.type, VectorType)
        printer.print_list([*types, self.result.type], printer.print_attribute)


class _CompareOp(IRDLOperation):
    """`slt, %a, %b : vector<8xi32>`, which makes an i1 of each pair."""

    PREDICATES: ClassVar[list[str]]
    predicate = prop_def(IntegerAttr)
    lhs = operand_def()
    rhs = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def verify_(self) -> None:
        if not 0 <= self.predicate.value.data < len(self.PREDICATES):
            choices = ", ".join(self.PREDICATES)
            raise VerifyException(f"its predicate must be one of {choices}")
        if self.lhs.type != self.rhs.type:
            raise VerifyException("compares values of one type")
        if self.result.type != _truth(self.lhs.type):
            raise VerifyException(f"makes i1 of each pair, got {self.result.type}")

    @classmethod
    def parse(cls, parser: Parser) -> "_CompareOp":
        predicate = parser.parse_identifier()
        if predicate not in cls.PREDICATES:
            parser.raise_error(f"expected one of {', '.join(cls.PREDICATES)}")
        names = []
        for _ in range(2):
            parser.parse_punctuation(",")
            names.append(parser.parse_unresolved_operand())
        op = cls.create()
        if "fastmath" in op.get_irdl_definition().properties:
            flags = FastMathFlagsAttr("none")
            if parser.parse_optional_keyword("fastmath"):
                flags = FastMathFlagsAttr(FastMathFlagsAttr.parse_parameter(parser))
            op.properties["fastmath"] = flags
        op.attributes |= parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type = parser.parse_type()
        op.properties["predicate"] = IntegerAttr(cls.PREDICATES.index(predicate), 64)
        return cls.create(
            operands=parser.resolve_operands(names, [type, type], parser.pos),
            properties=dict(op.properties),
            attributes=dict(op.attributes),
            result_types=[_truth(type)],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {self.PREDICATES[self.predicate.value.data]}, ")
        printer.print_list(self.operands, printer.print_ssa_value)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.lhs.type)


@irdl_op_definition
class CmpiOp(_CompareOp):
    name = "arith.cmpi"
    PREDICATES: ClassVar[list[str]] = list(CMPI_COMPARISON_OPERATIONS)


@irdl_op_definition
class CmpfOp(_CompareOp):
    name = "arith.cmpf"
    PREDICATES: ClassVar[list[str]] = list(CMPF_COMPARISON_OPERATIONS)
    fastmath = opt_prop_def(FastMathFlagsAttr)


class _CastOp(IRDLOperation):
    """`%x : i32 to i8`, or with flags: `%x overflow<nsw> : i32 to i8`."""

    RESULT: ClassVar[str]  # what its numbers are to the operand's
    input = operand_def()
    result = result_def()
    traits = traits_def(Pure())

    def verify_(self) -> None:
        before, after = (_element(v.type) for v in (self.input, self.result))
        bits = [t.width.data for t in (before, after) if isinstance(t, IntegerType)]
        if _shape(self.input.type) != _shape(self.result.type):
            raise VerifyException("needs as many elements as its operand has")
        if self.RESULT == "index":
            if {type(before), type(after)} != {IntegerType, IndexType}:
                raise VerifyException("goes from index to an integer or back")
        elif len(bits) < 2 or (bits[0] < bits[1]) != (self.RESULT == "wider"):
            what = f"needs integers, the result {self.RESULT}"
            raise VerifyException(f"{what}, got {before} to {after}")

    @classmethod
    def parse(cls, parser: Parser) -> "_CastOp":
        name = parser.parse_unresolved_operand()
        for flag in FLAGS:
            if parser.parse_optional_keyword(flag) and flag == "overflow":
                parser.parse_comma_separated_list(
                    parser.Delimiter.ANGLE, parser.parse_identifier
                )
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        before = parser.parse_type()
        parser.parse_keyword("to")
        return cls.create(
            operands=[parser.resolve_operand(name, before)],
            attributes=attributes,
            result_types=[parser.parse_type()],
        )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.input)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.input.type)
        printer.print_string(" to ")
        printer.print_attribute(self.result.type)


@irdl_op_definition
class ExtSIOp(_CastOp):
    name = "arith.extsi"
    RESULT: ClassVar[str] = "wider"


@irdl_op_definition
class ExtUIOp(_CastOp):
    name = "arith.extui"
    RESULT: ClassVar[str] = "wider"


@irdl_op_definition
class TruncIOp(_CastOp):
    name = "arith.trunci"
    RESULT: ClassVar[str] = "narrower"


@irdl_op_definition
class IndexCastOp(_CastOp):
    name = "arith.index_cast"
    RESULT: ClassVar[str] = "index"


@irdl_op_definition
class IndexCastUIOp(_CastOp):
    name = "arith.index_castui"
    RESULT: ClassVar[str] = "index"


def _element(type: Attribute) -> Attribute:
    return type.element_type if isinstance(type, VectorType) else type


def _truth(type: Attribute) -> Attribute:
    return VectorType(i1, type.get_shape()) if isinstance(type, VectorType) else i1


def _shape(type: Attribute) -> tuple[int, ...]:
    return type.get_shape() if isinstance(type, VectorType) else ()


OWN: list[type[Operation]] = [
    CmpfOp,
    CmpiOp,
    ExtSIOp,
    ExtUIOp,
    IndexCastOp,
    IndexCastUIOp,
    SelectOp,
    TruncIOp,
]
_names = {op.name for op in OWN}
Arith = Dialect(
    "arith",
    [*(op for op in XdslArith.operations if op.name not in _names), *OWN],
    list(XdslArith.attributes),
)
