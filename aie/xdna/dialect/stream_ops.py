"""The `aie` operations that join DMA channels: flows, packets, allocations."""

from xdsl.dialects.builtin import (
    BoolAttr,
    IndexType,
    IntegerAttr,
    StringAttr,
    i8,
    i64,
)
from xdsl.dialects.builtin import SymbolNameConstraint as SymbolName
from xdsl.ir import Region
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    SingleBlockImplicitTerminator,
    SymbolOpInterface,
    ensure_terminator,
)
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.attrs import (
    BUNDLES,
    DIRECTIONS,
    BundleKeyword,
    DirectionKeyword,
    PacketInfoAttr,
    keyword_of,
    number_of,
)
from xdna.dialect.dma_ops import EndOp
from xdna.dialect.op import (
    BOOL,
    I8,
    I32,
    I64,
    Value,
    check_not_negative,
    i32_or_none,
)


@irdl_op_definition
class FlowOp(IRDLOperation):
    name = "aie.flow"
    source = operand_def(IndexType())
    source_bundle = prop_def(I32)
    source_channel = prop_def(I32)
    dest = operand_def(IndexType())
    dest_bundle = prop_def(I32)
    dest_channel = prop_def(I32)
    custom_directives = (BundleKeyword,)
    assembly_format = (
        "`(` $source `,` custom<BundleKeyword>($source_bundle) `:` $source_channel"
        " `,` $dest `,` custom<BundleKeyword>($dest_bundle) `:` $dest_channel `)`"
        " attr-dict"
    )

    def __init__(
        self,
        source: Value,
        source_channel: int,
        dest: Value,
        dest_channel: int,
        source_bundle: str = "DMA",
        dest_bundle: str = "DMA",
    ):
        super().__init__(
            operands=[source, dest],
            properties={
                "source_bundle": number_of(BUNDLES, source_bundle),
                "source_channel": i32_or_none(source_channel),
                "dest_bundle": number_of(BUNDLES, dest_bundle),
                "dest_channel": i32_or_none(dest_channel),
            },
        )

    def verify_(self) -> None:
        keyword_of(BUNDLES, self.source_bundle.value.data)
        keyword_of(BUNDLES, self.dest_bundle.value.data)
        check_not_negative(self, "source_channel", "dest_channel")


@irdl_op_definition
class PacketFlowOp(IRDLOperation):
    name = "aie.packet_flow"
    id = prop_def(I8, prop_name="ID")
    keep_pkt_header = opt_prop_def(BOOL)
    priority_route = opt_prop_def(BOOL)
    ports = region_def("single_block")
    traits = traits_def(SingleBlockImplicitTerminator(EndOp))

    def __init__(self, id: int, region: Region):
        super().__init__(
            properties={"ID": IntegerAttr(id, i8)},
            regions=[region],
        )
        for trait in self.get_traits_of_type(SingleBlockImplicitTerminator):
            ensure_terminator(self, trait)

    def verify_(self) -> None:
        for op in self.ports.block.ops:
            if not isinstance(op, PacketSourceOp | PacketDestOp | EndOp):
                what = "holds aie.packet_source and aie.packet_dest, got"
                raise VerifyException(f"{what} {op.name}")

    @classmethod
    def parse(cls, parser: Parser) -> "PacketFlowOp":
        with parser.in_parens():
            id = parser.parse_integer()
        op = cls(id, parser.parse_region())
        attrs = parser.parse_optional_attr_dict()
        for name in ("keep_pkt_header", "priority_route"):
            if name in attrs:
                op.properties[name] = attrs.pop(name)
        op.attributes |= attrs
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(f"({self.id.value.data}) ")
        printer.print_region(self.ports, print_block_terminators=False)
        flags = {k: v for k, v in self.properties.items() if k != "ID"}
        printer.print_op_attributes(flags | self.attributes)


class _PacketPort(IRDLOperation):
    """An end of a packet flow."""

    tile = operand_def(IndexType())
    bundle = prop_def(I32)
    channel = prop_def(I32)
    custom_directives = (BundleKeyword,)
    assembly_format = (
        "`<` $tile `,` custom<BundleKeyword>($bundle) `:` $channel `>` attr-dict"
    )

    def __init__(self, tile: Value, bundle: str, channel: int):
        super().__init__(
            operands=[tile],
            properties={
                "bundle": number_of(BUNDLES, bundle),
                "channel": i32_or_none(channel),
            },
        )

    def verify_(self) -> None:
        keyword_of(BUNDLES, self.bundle.value.data)
        check_not_negative(self, "channel")


@irdl_op_definition
class PacketSourceOp(_PacketPort):
    name = "aie.packet_source"


@irdl_op_definition
class PacketDestOp(_PacketPort):
    name = "aie.packet_dest"


@irdl_op_definition
class ShimDmaAllocationOp(IRDLOperation):
    name = "aie.shim_dma_allocation"
    sym_name = prop_def(SymbolName())
    tile = operand_def(IndexType())
    channel_dir = prop_def(I32)
    channel_index = prop_def(I64)
    plio = prop_def(BOOL, default_value=BoolAttr.from_bool(False))
    packet = opt_prop_def(PacketInfoAttr)
    traits = traits_def(SymbolOpInterface())
    irdl_options = (ParsePropInAttrDict(),)
    custom_directives = (DirectionKeyword,)
    assembly_format = (
        "$sym_name `(` $tile `,` custom<DirectionKeyword>($channel_dir) `,`"
        " $channel_index `)` attr-dict"
    )

    def __init__(self, name: str, tile: Value, direction: str, channel: int):
        super().__init__(
            operands=[tile],
            properties={
                "sym_name": StringAttr(name),
                "channel_dir": number_of(DIRECTIONS, direction),
                "channel_index": IntegerAttr(channel, i64),
                "plio": BoolAttr.from_bool(False),
            },
        )

    @property
    def direction(self) -> str:
        return keyword_of(DIRECTIONS, self.channel_dir.value.data)

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.channel_dir.value.data)
        check_not_negative(self, "channel_index")
