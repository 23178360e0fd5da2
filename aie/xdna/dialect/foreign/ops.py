"""The `aie` operations that only other people's designs use.

They are read in the syntax of mlir-aie, and never written by this package.
"""

from xdsl.dialects.builtin import (
    BoolAttr,
    IndexType,
    IntegerAttr,
    StringAttr,
    VectorType,
    i1,
    i32,
)
from xdsl.ir import Operation
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.traits import NoTerminator

from xdna.dialect.attrs import (
    DIRECTIONS,
    PacketInfoAttr,
    keyword_of,
    number_of,
)
from xdna.dialect.op import BOOL, I32, check_not_negative

CASCADE_DIRECTIONS = {"South": 3, "West": 4, "North": 5, "East": 6}  # AIEAttrs.td


@irdl_op_definition
class DmaOp(IRDLOperation):
    """One channel and the BDs that it runs, each in a region of its own.

    `aie.dma(S2MM, 0) {loop = false} [{...}, {...}]`
    """

    name = "aie.dma"
    channel_dir = prop_def(I32)
    channel_index = prop_def(I32)
    loop = prop_def(BOOL, default_value=BoolAttr.from_bool(True))
    repeat_count = prop_def(I32, default_value=IntegerAttr(0, i32))
    sym_name = opt_prop_def(StringAttr)
    bds = var_region_def()
    valid = result_def(i1)
    traits = traits_def(NoTerminator())

    @property
    def direction(self) -> str:
        return keyword_of(DIRECTIONS, self.channel_dir.value.data)

    @property
    def loops(self) -> bool:
        return bool(self.loop.value.data)

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.channel_dir.value.data)
        check_not_negative(self, "channel_index", "repeat_count")

    @classmethod
    def parse(cls, parser: Parser) -> "DmaOp":
        with parser.in_parens():
            direction = _parse_keyword(parser, DIRECTIONS)
            parser.parse_punctuation(",")
            channel = IntegerAttr(parser.parse_integer(allow_boolean=False), i32)
        attributes = parser.parse_optional_attr_dict()
        regions = parser.parse_comma_separated_list(
            parser.Delimiter.SQUARE, parser.parse_region
        )
        known = {"loop", "repeat_count", "sym_name"} & attributes.keys()
        return cls.create(
            properties={
                "channel_dir": direction,
                "channel_index": channel,
                **{name: attributes.pop(name) for name in known},
            },
            attributes=attributes,
            regions=regions,
            result_types=[i1],
        )


@irdl_op_definition
class ConfigureCascadeOp(IRDLOperation):
    """The neighbours that a core's cascade stream comes from and goes to.

    `aie.configure_cascade(%tile, West, East)`
    """

    name = "aie.configure_cascade"
    tile = operand_def(IndexType())
    input_dir = prop_def(I32, prop_name="inputDir")
    output_dir = prop_def(I32, prop_name="outputDir")

    @property
    def directions(self) -> tuple[str, str]:
        """From where, and whereto."""
        numbers = self.input_dir.value.data, self.output_dir.value.data
        comes_from, goes_to = (keyword_of(CASCADE_DIRECTIONS, n) for n in numbers)
        return comes_from, goes_to

    def verify_(self) -> None:
        assert self.directions  # raises for other numbers

    @classmethod
    def parse(cls, parser: Parser) -> "ConfigureCascadeOp":
        with parser.in_parens():
            name = parser.parse_unresolved_operand()
            parser.parse_punctuation(",")
            comes_from = _parse_keyword(parser, CASCADE_DIRECTIONS)
            parser.parse_punctuation(",")
            goes_to = _parse_keyword(parser, CASCADE_DIRECTIONS)
        return cls.create(
            operands=[parser.resolve_operand(name, IndexType())],
            properties={"inputDir": comes_from, "outputDir": goes_to},
            attributes=parser.parse_optional_attr_dict(),
        )


@irdl_op_definition
class DmaBdPacketOp(IRDLOperation):
    """The packet header of the BD in the same block: `aie.dma_bd_packet(0, 2)`."""

    name = "aie.dma_bd_packet"
    packet_type = prop_def(I32)
    packet_id = prop_def(I32)
    assembly_format = "`(` $packet_type `,` $packet_id `)` attr-dict"

    @property
    def info(self) -> PacketInfoAttr:
        return PacketInfoAttr((self.packet_type.value.data, self.packet_id.value.data))


@irdl_op_definition
class PutStreamOp(IRDLOperation):
    """A core sends a word: `aie.put_stream(%channel : i32, %value : i32)`."""

    name = "aie.put_stream"
    channel = operand_def(i32)
    value = operand_def()
    assembly_format = (
        "`(` $channel `:` type($channel) `,` $value `:` type($value) `)` attr-dict"
    )


@irdl_op_definition
class GetStreamOp(IRDLOperation):
    """A core gets a word: `%value = aie.get_stream(%channel : i32) : i32`."""

    name = "aie.get_stream"
    channel = operand_def(i32)
    value = result_def()
    assembly_format = "`(` $channel `:` type($channel) `)` attr-dict `:` type($value)"


@irdl_op_definition
class PutCascadeOp(IRDLOperation):
    """A core sends 512 bits on: `aie.put_cascade(%value : vector<16xi32>)`."""

    name = "aie.put_cascade"
    value = operand_def(VectorType)
    assembly_format = "`(` $value `:` type($value) `)` attr-dict"


@irdl_op_definition
class GetCascadeOp(IRDLOperation):
    """A core gets 512 bits: `%value = aie.get_cascade() : vector<16xi32>`."""

    name = "aie.get_cascade"
    value = result_def(VectorType)
    assembly_format = "`(` `)` attr-dict `:` type($value)"


@irdl_op_definition
class PutLanesOp(IRDLOperation):
    """What becomes of `aie.put_cascade` once vectors are single numbers."""

    name = "xdna.put_lanes"
    values = var_operand_def()


@irdl_op_definition
class GetLanesOp(IRDLOperation):
    name = "xdna.get_lanes"
    values = var_result_def()


def _parse_keyword(parser: Parser, table: dict[str, int]) -> IntegerAttr:
    return number_of(table, parser.parse_identifier_or_str_literal())


FOREIGN_OPERATIONS: list[type[Operation]] = [
    ConfigureCascadeOp,
    DmaBdPacketOp,
    DmaOp,
    GetCascadeOp,
    GetStreamOp,
    PutCascadeOp,
    PutStreamOp,
]
