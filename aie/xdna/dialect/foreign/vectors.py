"""The `vector` dialect in other designs' cores: xDSL's, and what it lacks."""

from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, VectorType, i64
from xdsl.dialects.vector import Vector as XdslVector
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException


def type_of(value: SSAValue) -> VectorType:
    """The type of a vector."""
    assert isinstance(value.type, VectorType)
    return value.type


@irdl_op_definition
class ShapeCastOp(IRDLOperation):
    name = "vector.shape_cast"
    source = operand_def(VectorType)
    result = result_def(VectorType)
    traits = traits_def(Pure())
    assembly_format = "$source attr-dict `:` type($source) `to` type($result)"

    def verify_(self) -> None:
        if type_of(self.source).element_count() != type_of(self.result).element_count():
            raise VerifyException("needs as many elements as its source has")


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """`vector.transpose %v, [1, 0] : vector<2x4xi32> to vector<4x2xi32>`"""

    name = "vector.transpose"
    vector = operand_def(VectorType)
    permutation = prop_def(DenseArrayBase.constr(i64))
    result = result_def(VectorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$vector `,` $permutation attr-dict `:` type($vector) `to` type($result)"
    )

    def verify_(self) -> None:
        order, shape = self.permutation.get_values(), type_of(self.vector).get_shape()
        if sorted(order) != list(range(len(shape))):
            raise VerifyException(f"{order} is no order of {len(shape)} dimensions")
        if tuple(shape[int(i)] for i in order) != type_of(self.result).get_shape():
            raise VerifyException("its result needs the sizes in the new order")


@irdl_op_definition
class ExtractStridedSliceOp(IRDLOperation):
    name = "vector.extract_strided_slice"
    source = operand_def(VectorType)
    offsets = prop_def(ArrayAttr)
    sizes = prop_def(ArrayAttr)
    strides = prop_def(ArrayAttr)
    result = result_def(VectorType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$source attr-dict `:` type($source) `to` type($result)"


@irdl_op_definition
class FromElementsOp(IRDLOperation):
    """`vector.from_elements %a, %b : vector<2xi32>`"""

    name = "vector.from_elements"
    elements = var_operand_def()
    dest = result_def(VectorType)
    traits = traits_def(Pure())

    def verify_(self) -> None:
        if len(self.elements) != type_of(self.dest).element_count():
            raise VerifyException("needs as many elements as its vector has")

    @classmethod
    def parse(cls, parser: Parser) -> "FromElementsOp":
        names = parser.parse_comma_separated_list(
            parser.Delimiter.NONE, parser.parse_unresolved_operand
        )
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        type = parser.parse_type()
        if not isinstance(type, VectorType):
            parser.raise_error(f"needs a vector, got {type}")
        element = type.element_type
        return cls.create(
            operands=[parser.resolve_operand(name, element) for name in names],
            attributes=attributes,
            result_types=[type],
        )


Vector = Dialect(
    "vector",
    [
        *XdslVector.operations,
        ExtractStridedSliceOp,
        FromElementsOp,
        ShapeCastOp,
        TransposeOp,
    ],
    list(XdslVector.attributes),
)
