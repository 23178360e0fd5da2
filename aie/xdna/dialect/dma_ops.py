"""The `aie` operations of DMA programs. Sizes are in elements, as in mlir-aie."""

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import (
    IndexType,
    IntegerAttr,
    MemRefType,
    i1,
    i32,
)
from xdsl.ir import Block, Region
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    successor_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    IsTerminator,
)
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.attrs import (
    DIRECTIONS,
    BdDimLayoutArrayAttr,
    BdPadLayoutArrayAttr,
    DirectionKeyword,
    PacketInfoAttr,
    keyword_of,
    number_of,
)
from xdna.dialect.op import (
    I32,
    Value,
    check_not_negative,
    element_count,
    i32_or_none,
)


@irdl_op_definition
class EndOp(IRDLOperation):
    name = "aie.end"
    traits = traits_def(IsTerminator())
    assembly_format = "attr-dict"


class _TileProgram(IRDLOperation):
    """The DMA programs of a tile: a region of chains of blocks."""

    tile = operand_def(IndexType())
    body = region_def()
    result = result_def(IndexType())
    assembly_format = "`(` $tile `)` $body attr-dict"

    def __init__(self, tile: Value, region: Region):
        super().__init__(operands=[tile], regions=[region], result_types=[IndexType()])


@irdl_op_definition
class MemOp(_TileProgram):
    name = "aie.mem"


@irdl_op_definition
class MemTileDmaOp(_TileProgram):
    name = "aie.memtile_dma"


@irdl_op_definition
class ShimDmaOp(_TileProgram):
    name = "aie.shim_dma"


@irdl_op_definition
class DmaStartOp(IRDLOperation):
    """Starts a channel at block `dest`; the tile's program continues at `chain`."""

    name = "aie.dma_start"
    channel_dir = prop_def(I32)
    channel_index = prop_def(I32)
    repeat_count = prop_def(I32, default_value=IntegerAttr(0, i32))
    dest = successor_def()
    chain = successor_def()
    valid = result_def(i1)
    traits = traits_def(IsTerminator())
    custom_directives = (DirectionKeyword,)
    assembly_format = (
        "`(` custom<DirectionKeyword>($channel_dir) `,` $channel_index `,` $dest"
        " `,` $chain (`,` `repeat_count` `=` $repeat_count^)? `)` attr-dict"
    )

    def __init__(
        self,
        direction: str,
        channel: int,
        dest: Block,
        chain: Block,
        repeat_count: int = 0,
    ):
        super().__init__(
            properties={
                "channel_dir": number_of(DIRECTIONS, direction),
                "channel_index": i32_or_none(channel),
                "repeat_count": i32_or_none(repeat_count),
            },
            successors=[dest, chain],
            result_types=[i1],
        )

    @property
    def direction(self) -> str:
        return keyword_of(DIRECTIONS, self.channel_dir.value.data)

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.channel_dir.value.data)
        check_not_negative(self, "channel_index", "repeat_count")


@irdl_op_definition
class DmaBdOp(IRDLOperation):
    """One buffer descriptor: a transfer of `len` elements of a buffer."""

    name = "aie.dma_bd"
    buffer = operand_def(MemRefType)
    offset = prop_def(I32, default_value=IntegerAttr(0, i32))
    len = opt_prop_def(I32)
    dimensions = opt_prop_def(BdDimLayoutArrayAttr)
    pad_dimensions = opt_prop_def(BdPadLayoutArrayAttr)
    pad_value = opt_prop_def(I32)
    bd_id = opt_prop_def(I32)
    packet = opt_prop_def(PacketInfoAttr)
    next_bd_id = opt_prop_def(I32)
    burst_length = opt_prop_def(I32)
    IN_PARENS: ClassVar[tuple[str, ...]] = (
        "offset",
        "len",
        "dimensions",
        "pad_dimensions",
        "pad_value",
    )

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
            operands=[buffer],
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

    # (%buffer : type, offset, len, [dims], [pads], pad_value = 0) {bd_id = 0 : i32}
    @classmethod
    def parse(cls, parser: Parser) -> "DmaBdOp":
        with parser.in_parens():
            name = parser.parse_unresolved_operand()
            parser.parse_punctuation(":")
            buffer = parser.resolve_operand(name, parser.parse_type())
            offset, length = 0, None
            dims = pad = pad_value = None
            comma = parser.parse_optional_punctuation
            if comma(","):
                offset = parser.parse_integer(allow_boolean=False)
                if comma(","):
                    length = parser.parse_integer(allow_boolean=False)
            if comma(","):
                dims = BdDimLayoutArrayAttr.parse_parameter(parser)
            if comma(","):
                pad = BdPadLayoutArrayAttr.parse_parameter(parser)
            if comma(","):
                parser.parse_keyword("pad_value")
                parser.parse_punctuation("=")
                pad_value = i32_or_none(parser.parse_integer(allow_boolean=False))
        op = cls(buffer, offset, length, dims, pad=pad)
        if pad_value is not None:
            op.properties["pad_value"] = pad_value
        for key, attr in parser.parse_optional_attr_dict().items():
            known = key in ("bd_id", "next_bd_id", "packet", "burst_length")
            (op.properties if known else op.attributes)[key] = attr
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string("(")
        printer.print_ssa_value(self.buffer)
        printer.print_string(" : ")
        printer.print_attribute(self.buffer.type)
        if self.len is not None or self.offset.value.data:
            printer.print_string(f", {self.offset.value.data}")
        if self.len is not None:
            printer.print_string(f", {self.len.value.data}")
        for attr in (self.dimensions, self.pad_dimensions):
            if attr is not None:
                printer.print_string(", ")
                attr.print_parameter(printer)
        if self.pad_value is not None:
            printer.print_string(f", pad_value = {self.pad_value.value.data}")
        printer.print_string(")")
        printer.print_op_attributes(
            self.properties | self.attributes, reserved_attr_names=self.IN_PARENS
        )


@irdl_op_definition
class NextBdOp(IRDLOperation):
    name = "aie.next_bd"
    dest = successor_def()
    traits = traits_def(IsTerminator())
    assembly_format = "$dest attr-dict"

    def __init__(self, dest: Block):
        super().__init__(successors=[dest])
