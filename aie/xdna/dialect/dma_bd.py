"""`aie.dma_bd`, the operation that mlir-aie 1.3 and 1.4 write most unlike.

    1.3: (%b : memref<64xi32>, 0, 64, [<size = 2, stride = 32>, ...], [<pads>, ...])
    1.4: (%b : memref<64xi32> offset = 0 len = 64 sizes = [2, ...] strides = [32, ...]
         pad [<pads>, ...])

1.4 takes a value in the place of every number.
"""

from collections.abc import Sequence
from functools import partial

from xdsl.dialects.builtin import (
    DenseArrayBase,
    IntegerAttr,
    MemRefType,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.attrs import (
    BdDimLayoutArrayAttr,
    BdPadLayoutArrayAttr,
    PacketInfoAttr,
)
from xdna.dialect.op import (
    DYNAMIC,
    I32,
    I32_ARRAY,
    I64_ARRAY,
    Value,
    check_not_negative,
    element_count,
    i32_or_none,
)

IN_PARENS = (
    *("offset", "len", "dimensions", "pad_dimensions", "pad_value"),
    *("static_offset", "static_len", "static_sizes", "static_strides"),
    "operandSegmentSizes",
)
AFTER_PARENS = ("bd_id", "next_bd_id", "packet", "burst_length")


@irdl_op_definition
class DmaBdOp(IRDLOperation):
    """One buffer descriptor: a transfer of `len` elements of a buffer.

    In mlir-aie 1.4 the numbers lie in other properties, `static_...`, or are operands:
    `xdna.dialect.syntaxes` makes the properties of the model of them.
    """

    name = "aie.dma_bd"
    buffer = operand_def(MemRefType)
    numbers = var_operand_def()
    offset = prop_def(I32, default_value=IntegerAttr(0, i32))
    len = opt_prop_def(I32)
    dimensions = opt_prop_def(BdDimLayoutArrayAttr)
    pad_dimensions = opt_prop_def(BdPadLayoutArrayAttr)
    pad_value = opt_prop_def(I32)
    bd_id = opt_prop_def(I32)
    packet = opt_prop_def(PacketInfoAttr)
    next_bd_id = opt_prop_def(I32)
    burst_length = opt_prop_def(I32)
    static_offset = opt_prop_def(I32)
    static_len = opt_prop_def(I32)
    static_sizes = opt_prop_def(I64_ARRAY)
    static_strides = opt_prop_def(I64_ARRAY)
    segments = opt_prop_def(I32_ARRAY, prop_name="operandSegmentSizes")

    def __init__(
        self,
        buffer: Value,
        offset: int = 0,
        length: int | None = None,
        dims: Sequence[tuple[int, int]] | None = None,
        bd_id: int | None = None,
        next_bd_id: int | None = None,
        pad: Sequence[tuple[int, int]] | None = None,
        packet: tuple[int, int] | None = None,
    ):
        dimensions = None if dims is None else BdDimLayoutArrayAttr(tuple(dims))
        pad_dimensions = None if pad is None else BdPadLayoutArrayAttr(tuple(pad))
        super().__init__(
            operands=[buffer, []],
            properties={
                "offset": i32_or_none(offset),
                "len": i32_or_none(length),
                "dimensions": dimensions,
                "pad_dimensions": pad_dimensions,
                "bd_id": i32_or_none(bd_id),
                "next_bd_id": i32_or_none(next_bd_id),
                "packet": None if packet is None else PacketInfoAttr(packet),
            },
        )

    @property
    def length(self) -> int:
        """Elements of one transfer."""
        if self.len is None:
            return element_count(self.buffer.type)
        return self.len.value.data

    def verify_(self) -> None:
        check_not_negative(self, "offset", "len", "bd_id", "next_bd_id")
        if self.dimensions is not None and self.len is None:
            raise VerifyException("dimensions need a length")

    @classmethod
    def parse(cls, parser: Parser) -> "DmaBdOp":
        with parser.in_parens():
            name = parser.parse_unresolved_operand()
            parser.parse_punctuation(":")
            buffer = parser.resolve_operand(name, parser.parse_type())
            op = cls(buffer)
            if parser.parse_optional_punctuation(",") is not None:
                _parse_positions(op, parser)
            else:
                _parse_keywords(op, parser)
        for key, attr in parser.parse_optional_attr_dict().items():
            known = key in (*IN_PARENS, *AFTER_PARENS)
            (op.properties if known else op.attributes)[key] = attr
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string("(")
        printer.print_ssa_value(self.buffer)
        printer.print_string(" : ")
        printer.print_attribute(self.buffer.type)
        if self.segments is None:
            _print_positions(self, printer)
        else:
            _print_keywords(self, printer)
        printer.print_string(")")
        printer.print_op_attributes(
            self.properties | self.attributes, reserved_attr_names=IN_PARENS
        )


def _parse_positions(op: DmaBdOp, parser: Parser) -> None:
    """Behind the first comma of 1.3."""
    properties = op.properties
    comma = parser.parse_optional_punctuation
    properties["offset"] = IntegerAttr(parser.parse_integer(allow_boolean=False), i32)
    if comma(","):
        length = parser.parse_integer(allow_boolean=False)
        properties["len"] = IntegerAttr(length, i32)
    if comma(","):
        dims = BdDimLayoutArrayAttr.parse_parameter(parser)
        properties["dimensions"] = BdDimLayoutArrayAttr(dims)
    if comma(","):
        pads = BdPadLayoutArrayAttr.parse_parameter(parser)
        properties["pad_dimensions"] = BdPadLayoutArrayAttr(pads)
    if comma(","):
        parser.parse_keyword("pad_value")
        parser.parse_punctuation("=")
        value = parser.parse_integer(allow_boolean=False)
        properties["pad_value"] = IntegerAttr(value, i32)


def _parse_keywords(op: DmaBdOp, parser: Parser) -> None:
    """Behind the type in 1.4: each keyword may be missing."""
    properties: dict[str, Attribute] = {}
    numbers: list[SSAValue] = []
    segments = [1]
    for keyword in "offset", "len":
        values: list[SSAValue] = []
        if parser.parse_optional_keyword(keyword) is not None:
            parser.parse_punctuation("=")
            number = _parse_number(parser, i32, values)
            if not values:
                properties[f"static_{keyword}"] = IntegerAttr(number, i32)
        numbers += values
        segments.append(len(values))
    for keyword in "sizes", "strides":
        values = []
        if parser.parse_optional_keyword(keyword) is not None:
            parser.parse_punctuation("=")
            listed = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, partial(_parse_number, parser, i64, values)
            )
            properties[f"static_{keyword}"] = DenseArrayBase.from_list(i64, listed)
        numbers += values
        segments.append(len(values))
    if parser.parse_optional_keyword("pad") is not None:
        pads = BdPadLayoutArrayAttr.parse_parameter(parser)
        properties["pad_dimensions"] = BdPadLayoutArrayAttr(pads)
    if parser.parse_optional_keyword("pad_value") is not None:
        parser.parse_punctuation("=")
        value = parser.parse_integer(allow_boolean=False)
        properties["pad_value"] = IntegerAttr(value, i32)
    properties["operandSegmentSizes"] = DenseArrayBase.from_list(i32, segments)
    op.properties = properties
    op.operands = [op.buffer, *numbers]


def _parse_number(parser: Parser, type: Attribute, values: list[SSAValue]) -> int:
    """A number, or `DYNAMIC` for one that is added to the values."""
    name = parser.parse_optional_unresolved_operand()
    if name is None:
        return parser.parse_integer(allow_boolean=False)
    values.append(parser.resolve_operand(name, type))
    return DYNAMIC


def _print_positions(op: DmaBdOp, printer: Printer) -> None:
    if op.len is not None or op.offset.value.data:
        printer.print_string(f", {op.offset.value.data}")
    if op.len is not None:
        printer.print_string(f", {op.len.value.data}")
    for attr in (op.dimensions, op.pad_dimensions):
        if attr is not None:
            printer.print_string(", ")
            attr.print_parameter(printer)
    if op.pad_value is not None:
        printer.print_string(f", pad_value = {op.pad_value.value.data}")


def _print_keywords(op: DmaBdOp, printer: Printer) -> None:
    """The numbers are in properties: `xdna.dialect.syntaxes` writes no operands."""
    for keyword, number in ("offset", op.static_offset), ("len", op.static_len):
        if number is not None:
            printer.print_string(f" {keyword} = {number.value.data}")
    for keyword, array in ("sizes", op.static_sizes), ("strides", op.static_strides):
        if array is not None:
            values: Sequence[int] = array.get_values()
            printer.print_string(f" {keyword} = [{', '.join(map(str, values))}]")
    if op.pad_dimensions is not None:
        printer.print_string(" pad ")
        op.pad_dimensions.print_parameter(printer)
    if op.pad_value is not None:
        printer.print_string(f" pad_value = {op.pad_value.value.data}")
