"""The `aie` dialect of placed designs.

Others import every operation from here, wherever it is defined. Only the syntax is
verified: `xdna.check` knows what the hardware can do.
"""

from xdsl.dialects.builtin import StringAttr
from xdsl.dialects.builtin import SymbolNameConstraint as SymbolName
from xdsl.ir import Dialect, Operation, Region
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    NoTerminator,
    SingleBlockImplicitTerminator,
    SymbolOpInterface,
    SymbolTable,
    ensure_terminator,
)

from xdna.dialect.attrs import (
    ATTRIBUTES,
    DEVICE_NUMBERS,
    keyword_of,
    number_of,
)
from xdna.dialect.dma_bd import DmaBdOp
from xdna.dialect.dma_ops import (
    DmaStartOp,
    EndOp,
    MemOp,
    MemTileDmaOp,
    NextBdOp,
    ShimDmaOp,
)
from xdna.dialect.foreign.ops import FOREIGN_OPERATIONS
from xdna.dialect.op import I32
from xdna.dialect.stream_ops import (
    FlowOp,
    PacketDestOp,
    PacketFlowOp,
    PacketSourceOp,
    ShimDmaAllocationOp,
)
from xdna.dialect.tile_ops import BufferOp, CoreOp, LockOp, TileOp, UseLockOp

__all__ = [
    "OPERATIONS",
    "Aie",
    "BufferOp",
    "CoreOp",
    "DeviceOp",
    "DmaBdOp",
    "DmaStartOp",
    "EndOp",
    "FlowOp",
    "LockOp",
    "MemOp",
    "MemTileDmaOp",
    "NextBdOp",
    "PacketDestOp",
    "PacketFlowOp",
    "PacketSourceOp",
    "RuntimeSequenceOp",
    "ShimDmaAllocationOp",
    "ShimDmaOp",
    "TileOp",
    "UseLockOp",
]


@irdl_op_definition
class DeviceOp(IRDLOperation):
    """A whole design, for one device."""

    name = "aie.device"
    device = prop_def(I32)
    sym_name = prop_def(SymbolName(), default_value=StringAttr("main"))
    body = region_def("single_block")
    traits = traits_def(
        SymbolOpInterface(), SymbolTable(), SingleBlockImplicitTerminator(EndOp)
    )

    def __init__(self, device: str, region: Region, sym_name: str = "main"):
        super().__init__(
            properties={
                "device": number_of(DEVICE_NUMBERS, device),
                "sym_name": StringAttr(sym_name),
            },
            regions=[region],
        )
        for trait in self.get_traits_of_type(SingleBlockImplicitTerminator):
            ensure_terminator(self, trait)

    @property
    def device_name(self) -> str:
        return keyword_of(DEVICE_NUMBERS, self.device.value.data)

    def verify_(self) -> None:
        keyword_of(DEVICE_NUMBERS, self.device.value.data)

    @classmethod
    def parse(cls, parser: Parser) -> "DeviceOp":
        with parser.in_parens():
            start = parser.pos
            device = parser.parse_identifier()
            if device not in DEVICE_NUMBERS:
                names = ", ".join(DEVICE_NUMBERS)
                parser.raise_error(
                    f"device must be one of {names}, got {device}", start, parser.pos
                )
        name = parser.parse_optional_symbol_name()
        region = parser.parse_region()
        op = cls(device, region, "main" if name is None else name.data)
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(f"({self.device_name}) ")
        if self.sym_name.data != "main":
            printer.print_symbol_name(self.sym_name.data)
            printer.print_string(" ")
        printer.print_region(self.body, print_block_terminators=False)
        printer.print_op_attributes(self.attributes)


@irdl_op_definition
class RuntimeSequenceOp(IRDLOperation):
    """The controller's work for one run; its arguments are the host's buffers."""

    name = "aie.runtime_sequence"
    sym_name = prop_def(SymbolName(), default_value=StringAttr("sequence"))
    body = region_def("single_block")
    traits = traits_def(SymbolOpInterface(), NoTerminator())

    def __init__(self, region: Region, sym_name: str = "sequence"):
        super().__init__(
            properties={"sym_name": StringAttr(sym_name)}, regions=[region]
        )

    @classmethod
    def parse(cls, parser: Parser) -> "RuntimeSequenceOp":
        name = parser.parse_optional_symbol_name()
        arguments = parser.parse_comma_separated_list(
            parser.Delimiter.PAREN, parser.parse_argument
        )
        region = parser.parse_region(arguments)
        op = cls(region, "sequence" if name is None else name.data)
        op.attributes |= parser.parse_optional_attr_dict()
        return op

    def print(self, printer: Printer) -> None:
        if self.sym_name.data != "sequence":
            printer.print_string(" ")
            printer.print_symbol_name(self.sym_name.data)
        with printer.in_parens():
            printer.print_list(self.body.block.args, printer.print_block_argument)
        printer.print_string(" ")
        printer.print_region(
            self.body, print_entry_block_args=False, print_empty_block=False
        )
        printer.print_op_attributes(self.attributes)


OPERATIONS: list[type[Operation]] = [
    BufferOp,
    CoreOp,
    DeviceOp,
    DmaBdOp,
    DmaStartOp,
    EndOp,
    FlowOp,
    LockOp,
    MemOp,
    MemTileDmaOp,
    NextBdOp,
    PacketDestOp,
    PacketFlowOp,
    PacketSourceOp,
    RuntimeSequenceOp,
    ShimDmaAllocationOp,
    ShimDmaOp,
    TileOp,
    UseLockOp,
    *FOREIGN_OPERATIONS,
]

Aie = Dialect("aie", OPERATIONS, list(ATTRIBUTES))
