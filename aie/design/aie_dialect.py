"""The `aie` operations of placed designs, in mlir-aie 1.3's syntax.

Offsets, lengths, sizes and strides count elements, as upstream's do. What the hardware
can do is not checked here but in `target_check`.
"""

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import (
    BoolAttr,
    DenseIntOrFPElementsAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    StringAttr,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.dialects.builtin import SymbolNameConstraint as SymbolName
from xdsl.ir import Attribute, Block, Dialect, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
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
    NoTerminator,
    Pure,
    SingleBlockImplicitTerminator,
    SymbolOpInterface,
    SymbolTable,
    ensure_terminator,
)
from xdsl.utils.exceptions import VerifyException

from jax_npu.design.aie_attrs import (
    ATTRIBUTES,
    BUNDLES,
    DEVICE_NUMBERS,
    DIRECTIONS,
    LOCK_ACTIONS,
    BdDimLayoutArrayAttr,
    BdPadLayoutArrayAttr,
    BundleKeyword,
    DirectionKeyword,
    LockActionKeyword,
    PacketInfoAttr,
    keyword_of,
    number_of,
)

Value = SSAValue | Operation

I8 = IntegerAttr.constr(i8)
I32 = IntegerAttr.constr(i32)
I64 = IntegerAttr.constr(i64)
BOOL = BoolAttr.constr(i1)
DEFAULT_STACK_BYTES = 1024


def _i32(value: int | None) -> IntegerAttr | None:
    return None if value is None else IntegerAttr(value, i32)


def _string(value: str | None) -> StringAttr | None:
    return None if value is None else StringAttr(value)


def element_count(type: Attribute) -> int:
    assert isinstance(type, MemRefType)
    return type.element_count()


def _check_not_negative(op: IRDLOperation, *names: str) -> None:
    for name in names:
        attr = op.properties.get(name)
        if isinstance(attr, IntegerAttr) and attr.value.data < 0:
            raise VerifyException(f"{name} must not be negative, got {attr.value.data}")


@irdl_op_definition
class EndOp(IRDLOperation):
    name = "aie.end"
    traits = traits_def(IsTerminator())
    assembly_format = "attr-dict"


@irdl_op_definition
class DeviceOp(IRDLOperation):
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
        self._end()

    def _end(self) -> None:
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
class TileOp(IRDLOperation):
    name = "aie.tile"
    col = prop_def(I32)
    row = prop_def(I32)
    result = result_def(IndexType())
    traits = traits_def(Pure())
    assembly_format = "`(` $col `,` $row `)` attr-dict"

    def __init__(self, col: int, row: int):
        super().__init__(
            properties={"col": _i32(col), "row": _i32(row)},
            result_types=[IndexType()],
        )

    def verify_(self) -> None:
        _check_not_negative(self, "col", "row")


@irdl_op_definition
class BufferOp(IRDLOperation):
    name = "aie.buffer"
    tile = operand_def(IndexType())
    sym_name = opt_prop_def(StringAttr)
    address = opt_prop_def(I32)
    mem_bank = opt_prop_def(I32)
    initial_value = opt_prop_def(DenseIntOrFPElementsAttr)
    buffer = result_def(MemRefType)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`(` $tile `)` attr-dict `:` type($buffer)"

    def __init__(
        self,
        tile: Value,
        type: MemRefType,
        name: str | None = None,
        address: int | None = None,
    ):
        super().__init__(
            operands=[tile],
            properties={"sym_name": _string(name), "address": _i32(address)},
            result_types=[type],
        )

    def verify_(self) -> None:
        _check_not_negative(self, "address", "mem_bank")
        if any(size < 0 for size in self.buffer.type.get_shape()):
            raise VerifyException("a buffer's shape must be static")


@irdl_op_definition
class LockOp(IRDLOperation):
    name = "aie.lock"
    tile = operand_def(IndexType())
    lock_id = opt_prop_def(I32, prop_name="lockID")
    init = opt_prop_def(I32)
    sym_name = opt_prop_def(StringAttr)
    result = result_def(IndexType())
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`(` $tile (`,` $lockID^)? `)` attr-dict"

    def __init__(self, tile: Value, id: int, init: int = 0, name: str | None = None):
        super().__init__(
            operands=[tile],
            properties={
                "lockID": _i32(id),
                "init": _i32(init),
                "sym_name": _string(name),
            },
            result_types=[IndexType()],
        )

    def verify_(self) -> None:
        _check_not_negative(self, "lockID")


@irdl_op_definition
class UseLockOp(IRDLOperation):
    name = "aie.use_lock"
    lock = operand_def(IndexType())
    action = prop_def(I32)
    value = opt_prop_def(I32)
    blocking = opt_prop_def(I32)
    acq_en = opt_prop_def(BOOL)
    irdl_options = (ParsePropInAttrDict(),)
    custom_directives = (LockActionKeyword,)
    assembly_format = (
        "`(` $lock `,` custom<LockActionKeyword>($action) (`,` $value^)? `)` attr-dict"
    )

    def __init__(self, lock: Value, action: str, value: int = 1):
        super().__init__(
            operands=[lock],
            properties={
                "action": number_of(LOCK_ACTIONS, action),
                "value": _i32(value),
            },
        )

    @property
    def action_name(self) -> str:
        return keyword_of(LOCK_ACTIONS, self.action.value.data)

    @property
    def amount(self) -> int:
        return 1 if self.value is None else self.value.value.data

    def verify_(self) -> None:
        keyword_of(LOCK_ACTIONS, self.action.value.data)


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
                "source_channel": _i32(source_channel),
                "dest_bundle": number_of(BUNDLES, dest_bundle),
                "dest_channel": _i32(dest_channel),
            },
        )

    def verify_(self) -> None:
        keyword_of(BUNDLES, self.source_bundle.value.data)
        keyword_of(BUNDLES, self.dest_bundle.value.data)
        _check_not_negative(self, "source_channel", "dest_channel")


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
                "channel": _i32(channel),
            },
        )

    def verify_(self) -> None:
        keyword_of(BUNDLES, self.bundle.value.data)
        _check_not_negative(self, "channel")


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
        _check_not_negative(self, "channel_index")


class _TileProgram(IRDLOperation):
    """What runs on a tile: a region of DMA programs."""

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
    """Starts a channel at block `dest`; `chain` goes on with the tile's program."""

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
                "channel_index": _i32(channel),
                "repeat_count": _i32(repeat_count),
            },
            successors=[dest, chain],
            result_types=[i1],
        )

    @property
    def direction(self) -> str:
        return keyword_of(DIRECTIONS, self.channel_dir.value.data)

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.channel_dir.value.data)
        _check_not_negative(self, "channel_index", "repeat_count")


@irdl_op_definition
class DmaBdOp(IRDLOperation):
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
        super().__init__(
            operands=[buffer],
            properties={
                "offset": _i32(offset),
                "len": _i32(length),
                "dimensions": BdDimLayoutArrayAttr(tuple(dims))
                if dims is not None
                else None,
                "pad_dimensions": BdPadLayoutArrayAttr(tuple(pad))
                if pad is not None
                else None,
                "bd_id": _i32(bd_id),
                "next_bd_id": _i32(next_bd_id),
                "packet": PacketInfoAttr(packet) if packet is not None else None,
            },
        )

    @property
    def length(self) -> int:
        """Elements of one transfer."""
        if self.len is None:
            return element_count(self.buffer.type)
        return self.len.value.data

    def verify_(self) -> None:
        _check_not_negative(self, "offset", "len", "bd_id", "next_bd_id")
        if self.dimensions is not None and self.len is None:
            raise VerifyException("dimensions need a length")

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
                pad_value = _i32(parser.parse_integer(allow_boolean=False))
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


@irdl_op_definition
class CoreOp(IRDLOperation):
    name = "aie.core"
    tile = operand_def(IndexType())
    stack_size = prop_def(I32, default_value=IntegerAttr(DEFAULT_STACK_BYTES, i32))
    link_with = opt_prop_def(StringAttr)
    elf_file = opt_prop_def(StringAttr)
    dynamic_objfifo_lowering = opt_prop_def(BOOL)
    body = region_def()
    result = result_def(IndexType())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`(` $tile `)` $body attr-dict"

    def __init__(
        self,
        tile: Value,
        region: Region,
        link_with: str | None = None,
        stack_size: int = DEFAULT_STACK_BYTES,
    ):
        super().__init__(
            operands=[tile],
            properties={
                "stack_size": _i32(stack_size),
                "link_with": _string(link_with),
            },
            regions=[region],
            result_types=[IndexType()],
        )

    def verify_(self) -> None:
        _check_not_negative(self, "stack_size")


@irdl_op_definition
class RuntimeSequenceOp(IRDLOperation):
    """What the controller does for one run; its arguments are the host's buffers."""

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
]

Aie = Dialect("aie", OPERATIONS, list(ATTRIBUTES))
