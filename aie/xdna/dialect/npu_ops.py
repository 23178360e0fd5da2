"""The operations of a runtime sequence that are instructions for the controller.

mlir-aie 1.4 has numbers as operands, `FROM_OPERANDS`, that are properties in 1.3 and in
the model: `xdna.dialect.syntaxes` goes from one to the other. Only a number that is not
known before run time stays an operand.
"""

from typing import ClassVar

from xdsl.dialects.builtin import (
    FlatSymbolRefAttrConstr,
    IntegerAttr,
    IntegerType,
    SymbolRefAttr,
    i32,
)
from xdsl.ir import Attribute
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.attrs import (
    DIRECTIONS,
    keyword_of,
    number_of,
    parse_keyword_of,
    ui32,
)
from xdna.dialect.op import BOOL, I32, i32_or_none

UI32 = IntegerAttr.constr(ui32)


def u32_or_none(value: int | None) -> IntegerAttr | None:
    return None if value is None else IntegerAttr(value, ui32)


class NpuOp(IRDLOperation):
    """An instruction: `{...}` in 1.3, `(%a, %b) {...} : types` in 1.4."""

    FROM_OPERANDS: ClassVar[dict[str, IntegerType]]  # in the order of the operands
    numbers = var_operand_def(i32)

    def verify_(self) -> None:
        missing = [name for name in self.FROM_OPERANDS if name not in self.properties]
        if missing and len(self.numbers) != len(self.FROM_OPERANDS):
            raise VerifyException(f"needs {' and '.join(missing)}")

    @classmethod
    def parse(cls, parser: Parser) -> "NpuOp":
        op = cls.create()
        names = parser.parse_optional_comma_separated_list(
            parser.Delimiter.PAREN, parser.parse_unresolved_operand
        )
        op.set_dictionary(parser)
        if names is not None:
            op.operands = parser.resolve_operands(names, types(parser), parser.pos)
        return op

    def print(self, printer: Printer) -> None:
        if self.numbers:
            with printer.in_parens():
                printer.print_list(self.numbers, printer.print_ssa_value)
        self.print_dictionary(printer)
        if self.numbers:
            printer.print_string(" : ")
            printer.print_list(self.numbers.types, printer.print_attribute)

    def set_dictionary(self, parser: Parser) -> None:
        known = self.get_irdl_definition().properties
        for key, attr in parser.parse_optional_attr_dict().items():
            (self.properties if key in known else self.attributes)[key] = attr

    def print_dictionary(self, printer: Printer, *reserved: str) -> None:
        attrs = self.properties | self.attributes
        printer.print_op_attributes(attrs, reserved_attr_names=reserved)


def types(parser: Parser) -> list[Attribute]:
    """`: i32, i32`"""
    parser.parse_punctuation(":")
    return parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)


class _Write(NpuOp):
    """A write to an address of the array, or of a buffer or tile if one is given."""

    address = opt_prop_def(UI32)
    buffer = opt_prop_def(FlatSymbolRefAttrConstr)
    column = opt_prop_def(I32)
    row = opt_prop_def(I32)
    value = opt_prop_def(UI32)


@irdl_op_definition
class NpuWrite32Op(_Write):
    name = "aiex.npu.write32"
    FROM_OPERANDS: ClassVar[dict[str, IntegerType]] = {"address": ui32, "value": ui32}

    def __init__(
        self,
        address: int,
        value: int,
        column: int | None = None,
        row: int | None = None,
    ):
        super().__init__(
            operands=[[]],
            properties={
                "address": u32_or_none(address),
                "value": u32_or_none(value),
                "column": i32_or_none(column),
                "row": i32_or_none(row),
            },
        )


@irdl_op_definition
class NpuMaskWrite32Op(_Write):
    name = "aiex.npu.maskwrite32"
    mask = opt_prop_def(UI32)
    FROM_OPERANDS: ClassVar[dict[str, IntegerType]] = {
        "address": ui32,
        "value": ui32,
        "mask": ui32,
    }


@irdl_op_definition
class NpuSyncOp(NpuOp):
    name = "aiex.npu.sync"
    column = opt_prop_def(I32)
    row = opt_prop_def(I32)
    direction = opt_prop_def(I32)
    channel = opt_prop_def(I32)
    column_num = opt_prop_def(I32)
    row_num = opt_prop_def(I32)
    FROM_OPERANDS: ClassVar[dict[str, IntegerType]] = dict.fromkeys(
        ("column", "row", "direction", "channel", "column_num", "row_num"), i32
    )

    def verify_(self) -> None:
        super().verify_()
        if self.direction is not None:
            keyword_of(DIRECTIONS, self.direction.value.data)


@irdl_op_definition
class NpuRtpWriteOp(NpuOp):
    name = "aiex.npu.rtp_write"
    buffer = prop_def(FlatSymbolRefAttrConstr)
    index = prop_def(UI32)
    value = opt_prop_def(I32)
    FROM_OPERANDS: ClassVar[dict[str, IntegerType]] = {"value": i32}

    def __init__(self, buffer: str, index: int, value: int):
        super().__init__(
            operands=[[]],
            properties={
                "buffer": SymbolRefAttr(buffer),
                "index": u32_or_none(index),
                "value": i32_or_none(value),
            },
        )

    # (@buffer, 0, 2) in 1.3, (@buffer, 0, %two) : i32 in 1.4
    @classmethod
    def parse(cls, parser: Parser) -> "NpuRtpWriteOp":
        op = cls.create()
        with parser.in_parens():
            op.properties["buffer"] = SymbolRefAttr(parser.parse_symbol_name())
            parser.parse_punctuation(",")
            index = parser.parse_integer(allow_boolean=False)
            op.properties["index"] = IntegerAttr(index, ui32)
            parser.parse_punctuation(",")
            name = parser.parse_optional_unresolved_operand()
            if name is None:
                value = parser.parse_integer(allow_boolean=False)
                op.properties["value"] = IntegerAttr(value, i32)
        op.set_dictionary(parser)
        if name is not None:
            op.operands = parser.resolve_operands([name], types(parser), parser.pos)
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string("(")
        printer.print_attribute(self.buffer)
        printer.print_string(f", {self.index.value.data}, ")
        if self.value is not None:
            printer.print_string(f"{self.value.value.data})")
        else:
            printer.print_list(self.numbers, printer.print_ssa_value)
            printer.print_string(")")
        self.print_dictionary(printer, "buffer", "index", "value")
        if self.numbers:
            printer.print_string(" : ")
            printer.print_list(self.numbers.types, printer.print_attribute)


@irdl_op_definition
class NpuAddressPatchOp(NpuOp):
    """Adds a buffer's address to a BD; in 1.4 its place, `addr`, may be an operand."""

    name = "aiex.npu.address_patch"
    addr = opt_prop_def(UI32)
    arg_idx = prop_def(I32)
    arg_plus = opt_prop_def(I32)
    FROM_OPERANDS: ClassVar[dict[str, IntegerType]] = {"arg_plus": i32}

    # {...} in 1.3, (%plus : i32) addr %addr : i32 {...} in 1.4
    @classmethod
    def parse(cls, parser: Parser) -> "NpuAddressPatchOp":
        op = cls.create()
        if parser.parse_optional_punctuation("(") is not None:
            name = parser.parse_unresolved_operand()
            parser.parse_punctuation(":")
            op.operands = [parser.resolve_operand(name, parser.parse_type())]
            parser.parse_punctuation(")")
        op.set_dictionary(parser)
        return op

    def print(self, printer: Printer) -> None:
        for number in self.numbers:
            printer.print_string("(")
            printer.print_ssa_value(number)
            printer.print_string(" : ")
            printer.print_attribute(number.type)
            printer.print_string(")")
        self.print_dictionary(printer)


@irdl_op_definition
class NpuPushQueueOp(NpuOp):
    name = "aiex.npu.push_queue"
    column = prop_def(I32)
    row = prop_def(I32)
    direction = prop_def(I32)
    channel = prop_def(I32)
    issue_token = prop_def(BOOL)
    repeat_count = opt_prop_def(I32)
    bd_id = opt_prop_def(I32)
    FROM_OPERANDS: ClassVar[dict[str, IntegerType]] = {
        "repeat_count": i32,
        "bd_id": i32,
    }

    def verify_(self) -> None:
        super().verify_()
        keyword_of(DIRECTIONS, self.direction.value.data)

    # (0, 0, S2MM : 1) and {...} in 1.3; bd_id %bd repeat %n {...} : i32, i32 in 1.4
    @classmethod
    def parse(cls, parser: Parser) -> "NpuPushQueueOp":
        op = cls.create()
        with parser.in_parens():
            for name in "column", "row", "direction", "channel":
                if name == "direction":
                    keyword = parse_keyword_of(parser, DIRECTIONS)
                    op.properties[name] = number_of(DIRECTIONS, keyword)
                    parser.parse_punctuation(":")
                    continue
                number = parser.parse_integer(allow_boolean=False)
                op.properties[name] = IntegerAttr(number, i32)
                if name != "channel":
                    parser.parse_punctuation(",")
        if parser.parse_optional_keyword("bd_id") is None:
            op.set_dictionary(parser)
            return op
        bd_id = parser.parse_unresolved_operand()
        parser.parse_keyword("repeat")
        repeat = parser.parse_unresolved_operand()
        op.set_dictionary(parser)
        bd_type, repeat_type = types(parser)
        op.operands = [
            parser.resolve_operand(repeat, repeat_type),
            parser.resolve_operand(bd_id, bd_type),
        ]
        return op

    def print(self, printer: Printer) -> None:
        direction = keyword_of(DIRECTIONS, self.direction.value.data)
        tile = f"{self.column.value.data}, {self.row.value.data}"
        printer.print_string(f"({tile}, {direction} : {self.channel.value.data})")
        if self.numbers:
            for keyword, number in zip((" bd_id ", " repeat "), reversed(self.numbers)):
                printer.print_string(keyword)
                printer.print_ssa_value(number)
        self.print_dictionary(printer, "column", "row", "direction", "channel")
        if self.numbers:
            printer.print_string(" : ")
            printer.print_list(self.numbers.types, printer.print_attribute)
