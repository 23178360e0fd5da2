"""The pretty form of `aie.buffer`, whose initial value stands behind its type."""

from typing import TypeVar

from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    IndexType,
    MemRefType,
    TensorType,
)
from xdsl.ir import Attribute
from xdsl.irdl import IRDLOperation
from xdsl.parser import Parser
from xdsl.printer import Printer

BufferT = TypeVar("BufferT", bound=IRDLOperation)
INITIAL_VALUE = "initial_value"


def parse_buffer(op_type: type[BufferT], parser: Parser) -> BufferT:
    with parser.in_parens():
        tile = parser.resolve_operand(parser.parse_unresolved_operand(), IndexType())
    attributes = parser.parse_optional_attr_dict()
    parser.parse_punctuation(":")
    type = parser.parse_type()
    known = op_type.get_irdl_definition().properties.keys() & attributes.keys()
    properties = {name: attributes.pop(name) for name in known}
    if parser.parse_optional_punctuation("=") is not None:
        properties[INITIAL_VALUE] = _parse_values(parser, type)
    return op_type.create(
        operands=[tile],
        properties=properties,
        attributes=attributes,
        result_types=[type],
    )


def _parse_values(parser: Parser, type: Attribute) -> DenseIntOrFPElementsAttr:
    if not isinstance(type, MemRefType):
        parser.raise_error(f"a buffer with values must be a memref, got {type}")
    parser.parse_keyword("dense")
    values = TensorType(type.element_type, type.get_shape())
    return parser.parse_dense_int_or_fp_elements_attr(values)


def print_buffer(op: IRDLOperation, printer: Printer) -> None:
    with printer.in_parens():
        printer.print_ssa_value(op.operands[0])
    printer.print_op_attributes(
        op.properties | op.attributes, reserved_attr_names=(INITIAL_VALUE,)
    )
    printer.print_string(" : ")
    printer.print_attribute(op.results[0].type)
    if INITIAL_VALUE in op.properties:
        values, _, _ = str(op.properties[INITIAL_VALUE]).rpartition(" : ")
        printer.print_string(f" = {values}")
