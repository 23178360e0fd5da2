"""The `aie` operations that place things on tiles: buffers, locks and cores."""

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    StringAttr,
    i32,
)
from xdsl.ir import Region
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.attrs import (
    LOCK_ACTIONS,
    LOCK_BLOCKING,
    keyword_of,
    number_of,
    parse_keyword_of,
)
from xdna.dialect.buffer_text import parse_buffer, print_buffer
from xdna.dialect.op import (
    BOOL,
    I32,
    Value,
    check_not_negative,
    constant_of,
    i32_or_none,
    string_or_none,
)

DEFAULT_STACK_BYTES = 1024  # mlir-aie's


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
            properties={"col": i32_or_none(col), "row": i32_or_none(row)},
            result_types=[IndexType()],
        )

    def verify_(self) -> None:
        check_not_negative(self, "col", "row")


@irdl_op_definition
class BufferOp(IRDLOperation):
    name = "aie.buffer"
    tile = operand_def(IndexType())
    sym_name = opt_prop_def(StringAttr)
    address = opt_prop_def(I32)
    mem_bank = opt_prop_def(I32)
    initial_value = opt_prop_def(DenseIntOrFPElementsAttr)
    aligned = opt_prop_def(BOOL)
    buffer = result_def(MemRefType)

    def __init__(
        self,
        tile: Value,
        type: MemRefType,
        name: str | None = None,
        address: int | None = None,
    ):
        super().__init__(
            operands=[tile],
            properties={
                "sym_name": string_or_none(name),
                "address": i32_or_none(address),
            },
            result_types=[type],
        )

    def verify_(self) -> None:
        check_not_negative(self, "address", "mem_bank")
        if any(size < 0 for size in self.buffer.type.get_shape()):
            raise VerifyException("a buffer's shape must be static")

    # (%tile) {address = 1024 : i32} : memref<2xi32> = dense<[3, 4]>
    @classmethod
    def parse(cls, parser: Parser) -> "BufferOp":
        return parse_buffer(cls, parser)

    def print(self, printer: Printer) -> None:
        print_buffer(self, printer)


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
                "lockID": i32_or_none(id),
                "init": i32_or_none(init),
                "sym_name": string_or_none(name),
            },
            result_types=[IndexType()],
        )

    def verify_(self) -> None:
        check_not_negative(self, "lockID")


@irdl_op_definition
class UseLockOp(IRDLOperation):
    """An acquire or a release of a lock by `amount`.

    In mlir-aie 1.4 the amount is an operand, in the model and in 1.3 a property.
    """

    name = "aie.use_lock"
    lock = operand_def(IndexType())
    amount_operand = opt_operand_def(i32)
    action = prop_def(I32)
    value = opt_prop_def(I32)
    blocking = opt_prop_def(I32)
    acq_en = opt_prop_def(BOOL)

    def __init__(self, lock: Value, action: str, value: int | None = 1):
        super().__init__(
            operands=[lock, []],
            properties={
                "action": number_of(LOCK_ACTIONS, action),
                "value": i32_or_none(value),
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
        if self.amount_operand is not None:
            if self.value is not None:
                raise VerifyException("has its value twice: as operand and attribute")
            if constant_of(self.amount_operand) is None:
                what = "value must be a constant, it is only known at run time"
                raise VerifyException(what)

    # (%lock, Release, 1) in 1.3, (%lock, Release, %one) in 1.4; then the blocking
    @classmethod
    def parse(cls, parser: Parser) -> "UseLockOp":
        with parser.in_parens():
            lock = parser.resolve_operand(
                parser.parse_unresolved_operand(), IndexType()
            )
            parser.parse_punctuation(",")
            op = cls(lock, parse_keyword_of(parser, LOCK_ACTIONS), None)
            while parser.parse_optional_punctuation(",") is not None:
                if (name := parser.parse_optional_unresolved_operand()) is not None:
                    op.operands = [lock, parser.resolve_operand(name, i32)]
                elif (value := parser.parse_optional_integer(False)) is not None:
                    op.properties["value"] = IntegerAttr(value, i32)
                else:
                    blocking = parse_keyword_of(parser, LOCK_BLOCKING)
                    op.properties["blocking"] = number_of(LOCK_BLOCKING, blocking)
        for key, attr in parser.parse_optional_attr_dict().items():
            known = key in ("value", "blocking", "acq_en")
            (op.properties if known else op.attributes)[key] = attr
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string("(")
        printer.print_ssa_value(self.lock)
        printer.print_string(f", {self.action_name}")
        if self.amount_operand is not None:
            printer.print_string(", ")
            printer.print_ssa_value(self.amount_operand)
        elif self.value is not None:
            printer.print_string(f", {self.value.value.data}")
        if self.blocking is not None:
            keyword = keyword_of(LOCK_BLOCKING, self.blocking.value.data)
            printer.print_string(f", {keyword}")
        printer.print_string(")")
        printer.print_op_attributes(
            self.properties | self.attributes,
            reserved_attr_names=("action", "value", "blocking"),
        )


@irdl_op_definition
class CoreOp(IRDLOperation):
    name = "aie.core"
    tile = operand_def(IndexType())
    stack_size = prop_def(I32, default_value=IntegerAttr(DEFAULT_STACK_BYTES, i32))
    link_with = opt_prop_def(StringAttr)
    link_files = opt_prop_def(ArrayAttr)  # what aiecc makes of `link_with`
    elf_file = opt_prop_def(StringAttr)
    dynamic_objfifo_lowering = opt_prop_def(BOOL)
    body = region_def()
    result = result_def(IndexType())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`(` $tile `)` $body attr-dict"

    @property
    def objects(self) -> list[str]:
        """The objects that the core is linked with."""
        if self.link_with is not None:
            return [self.link_with.data]
        files = () if self.link_files is None else self.link_files.data
        return [name.data for name in files if isinstance(name, StringAttr)]

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
                "stack_size": i32_or_none(stack_size),
                "link_with": string_or_none(link_with),
            },
            regions=[region],
            result_types=[IndexType()],
        )

    def verify_(self) -> None:
        check_not_negative(self, "stack_size")
