"""Attributes and keywords of the `aie` dialect, as mlir-aie writes them.

Enumerations are plain `i32` attributes in generic form and keywords in pretty form;
each is a table from keyword to number and a directive for the assembly formats.
"""

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import IntegerAttr, IntegerType, Signedness, i32
from xdsl.ir import Attribute, Data, OpaqueSyntaxAttribute
from xdsl.irdl import IRDLOperation, irdl_attr_definition
from xdsl.irdl.declarative_assembly_format import (
    AttributeVariable,
    CustomDirective,
    ParsingState,
    PrintingState,
    irdl_custom_directive,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from xdna.devices import DEVICES

LOCK_ACTIONS = {"Acquire": 0, "Release": 1, "AcquireGreaterEqual": 2}
LOCK_BLOCKING = {"NonBlocking": 0, "Blocking": 1}
DIRECTIONS = {"S2MM": 0, "MM2S": 1}
BUNDLES = {
    "Core": 0,
    "DMA": 1,
    "FIFO": 2,
    "South": 3,
    "West": 4,
    "North": 5,
    "East": 6,
    "PLIO": 7,
    "NOC": 8,
    "Trace": 9,
    "TileControl": 10,
}
DEVICE_NUMBERS = {device.name: device.mlir_number for device in DEVICES.values()}

ui32 = IntegerType(32, Signedness.UNSIGNED)


def keyword_of(table: dict[str, int], number: int) -> str:
    """The keyword of an enumeration's number.

    Raises:
      VerifyException: if the enumeration has no such number.
    """
    for name, value in table.items():
        if value == number:
            return name
    raise VerifyException(f"expected one of {_choices(table)}, got {number}")


def number_of(table: dict[str, int], keyword: str) -> IntegerAttr:
    """The attribute of an enumeration's keyword.

    Raises:
      ValueError: if the enumeration has no such keyword.
    """
    if keyword not in table:
        raise ValueError(f"expected one of {', '.join(table)}, got {keyword}")
    return IntegerAttr(table[keyword], i32)


def parse_keyword_of(parser: Parser, table: dict[str, int]) -> str:
    """A keyword of an enumeration, as such or as a string."""
    start = parser.pos
    keyword = parser.parse_identifier_or_str_literal()
    if keyword not in table:
        choices = ", ".join(table)
        parser.raise_error(
            f"expected one of {choices}, got {keyword}", start, parser.pos
        )
    return keyword


def _choices(table: dict[str, int]) -> str:
    return ", ".join(f"{number} ({name})" for name, number in table.items())


class _Keyword(CustomDirective):
    """An enumeration as its keyword in an assembly format."""

    attr: AttributeVariable
    TABLE: ClassVar[dict[str, int]]

    def parse(self, parser: Parser, state: ParsingState) -> None:
        keyword = parse_keyword_of(parser, self.TABLE)
        self.attr.set(state, number_of(self.TABLE, keyword))

    def print(self, printer: Printer, state: PrintingState, op: IRDLOperation) -> None:
        state.print_whitespace(printer)
        attr = self.attr.get(op)
        assert isinstance(attr, IntegerAttr)
        printer.print_string(keyword_of(self.TABLE, attr.value.data))
        state.last_was_punctuation = False
        state.should_emit_space = True


@irdl_custom_directive
class DirectionKeyword(_Keyword):
    attr: AttributeVariable
    TABLE: ClassVar[dict[str, int]] = DIRECTIONS


@irdl_custom_directive
class BundleKeyword(_Keyword):
    attr: AttributeVariable
    TABLE: ClassVar[dict[str, int]] = BUNDLES


def _parse_pair(parser: AttrParser, names: tuple[str, str]) -> tuple[int, int]:
    """`<first = 1, second = 2>`"""
    with parser.in_angle_brackets():
        values = []
        for i, name in enumerate(names):
            if i:
                parser.parse_punctuation(",")
            parser.parse_keyword(name)
            parser.parse_punctuation("=")
            values.append(parser.parse_integer(allow_boolean=False))
    return values[0], values[1]


def _print_pair(
    printer: Printer, names: tuple[str, str], pair: tuple[int, int]
) -> None:
    fields = ", ".join(f"{name} = {value}" for name, value in zip(names, pair))
    printer.print_string(f"<{fields}>")


class _PairArray(Data[tuple[tuple[int, int], ...]]):
    FIELDS: ClassVar[tuple[str, str]]

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[tuple[int, int], ...]:
        return tuple(
            parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: _parse_pair(parser, cls.FIELDS)
            )
        )

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_square_brackets():
            printer.print_list(
                self.data, lambda pair: _print_pair(printer, self.FIELDS, pair)
            )

    def verify(self) -> None:
        for pair in self.data:
            if min(pair) < 0 or max(pair) >= 2**32:
                raise VerifyException(
                    f"{self.FIELDS[0]} and {self.FIELDS[1]} must be unsigned 32-bit "
                    f"numbers, got {pair[0]} and {pair[1]}"
                )


@irdl_attr_definition
class BdDimLayoutArrayAttr(_PairArray, OpaqueSyntaxAttribute):
    """(size, stride) of each dimension in elements, outermost first."""

    name = "aie.bd_dim_layout_array"
    FIELDS: ClassVar[tuple[str, str]] = ("size", "stride")


@irdl_attr_definition
class BdPadLayoutArrayAttr(_PairArray, OpaqueSyntaxAttribute):
    """(zeros before, zeros after) of each dimension in elements, outermost first."""

    name = "aie.bd_pad_layout_array"
    FIELDS: ClassVar[tuple[str, str]] = ("const_pad_before", "const_pad_after")


@irdl_attr_definition
class PacketInfoAttr(Data[tuple[int, int]]):
    """(type, id) of a packet header."""

    name = "aie.packet_info"
    FIELDS: ClassVar[tuple[str, str]] = ("pkt_type", "pkt_id")

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[int, int]:
        return _parse_pair(parser, cls.FIELDS)

    def print_parameter(self, printer: Printer) -> None:
        _print_pair(printer, self.FIELDS, self.data)

    def verify(self) -> None:
        packet_type, packet_id = self.data
        if not (0 <= packet_type < 8 and 0 <= packet_id < 32):
            raise VerifyException(
                "a packet's type has 3 bits and its id 5, got type "
                f"{packet_type} and id {packet_id}"
            )


ATTRIBUTES: Sequence[type[Attribute]] = (
    BdDimLayoutArrayAttr,
    BdPadLayoutArrayAttr,
    PacketInfoAttr,
)
