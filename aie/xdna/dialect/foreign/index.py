"""The `index` dialect: arithmetic on numbers of 64 bits, in other people's cores."""

from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType, i1
from xdsl.ir import Data, Dialect, OpaqueSyntaxAttribute
from xdsl.irdl import (
    IRDLOperation,
    base,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

INDEX = IndexType()
# Also of arith, with an i behind them.
BINARY_NAMES = (
    *("add", "sub", "mul", "and", "or", "xor", "shl", "shrs", "shru"),
    *("divs", "divu", "rems", "remu", "mins", "maxs", "minu", "maxu"),
    *("floordivs", "ceildivs", "ceildivu"),
)
PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")


@irdl_attr_definition
class CmpPredicateAttr(Data[str], OpaqueSyntaxAttribute):
    """`#index<cmp_predicate eq>`"""

    name = "index.cmp_predicate"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> str:
        return parser.parse_identifier()

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f" {self.data}")

    def verify(self) -> None:
        if self.data not in PREDICATES:
            choices = ", ".join(PREDICATES)
            raise VerifyException(f"expected one of {choices}, got {self.data}")


@irdl_op_definition
class ConstantOp(IRDLOperation):
    name = "index.constant"
    value = prop_def(IntegerAttr)
    result = result_def(IndexType)
    traits = traits_def(Pure())

    @classmethod
    def parse(cls, parser: Parser) -> "ConstantOp":
        attributes = parser.parse_optional_attr_dict()
        value = IntegerAttr(parser.parse_integer(allow_boolean=False), INDEX)
        return cls.create(
            properties={"value": value}, attributes=attributes, result_types=[INDEX]
        )


@irdl_op_definition
class BoolConstantOp(IRDLOperation):
    name = "index.bool.constant"
    value = prop_def(IntegerAttr)
    result = result_def(i1)
    traits = traits_def(Pure())
    assembly_format = "attr-dict $value"


class IndexBinaryOp(IRDLOperation):
    lhs = operand_def(IndexType)
    rhs = operand_def(IndexType)
    result = result_def(IndexType)
    traits = traits_def(Pure())
    assembly_format = "$lhs `,` $rhs attr-dict"


def _binary(mnemonic: str) -> type[IndexBinaryOp]:
    body = {"name": f"index.{mnemonic}", "__module__": __name__}
    return irdl_op_definition(type(mnemonic.capitalize(), (IndexBinaryOp,), body))


BINARY: tuple[type[IndexBinaryOp], ...] = tuple(map(_binary, BINARY_NAMES))


@irdl_op_definition
class CmpOp(IRDLOperation):
    """`index.cmp eq(%a, %b)`"""

    name = "index.cmp"
    pred = prop_def(CmpPredicateAttr)
    lhs = operand_def(IndexType)
    rhs = operand_def(IndexType)
    result = result_def(i1)
    traits = traits_def(Pure())

    @property
    def predicate(self) -> int:
        """As arith.cmpi numbers them."""
        return PREDICATES.index(self.pred.data)

    @classmethod
    def parse(cls, parser: Parser) -> "CmpOp":
        predicate = CmpPredicateAttr(parser.parse_identifier())
        with parser.in_parens():
            left = parser.parse_unresolved_operand()
            parser.parse_punctuation(",")
            right = parser.parse_unresolved_operand()
        return cls.create(
            operands=[parser.resolve_operand(name, INDEX) for name in (left, right)],
            properties={"pred": predicate},
            attributes=parser.parse_optional_attr_dict(),
            result_types=[i1],
        )


class CastOp(IRDLOperation):
    input = operand_def(base(IndexType) | base(IntegerType))
    output = result_def(base(IndexType) | base(IntegerType))
    traits = traits_def(Pure())
    assembly_format = "$input attr-dict `:` type($input) `to` type($output)"


@irdl_op_definition
class CastSOp(CastOp):
    name = "index.casts"


@irdl_op_definition
class CastUOp(CastOp):
    name = "index.castu"


Index = Dialect(
    "index",
    [ConstantOp, BoolConstantOp, CmpOp, CastSOp, CastUOp, *BINARY],
    [CmpPredicateAttr],
)
