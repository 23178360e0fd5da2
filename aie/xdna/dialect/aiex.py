"""The `aiex` operations of a runtime sequence, in mlir-aie 1.3's syntax."""

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    BoolAttr,
    DenseArrayBase,
    FlatSymbolRefAttrConstr,
    IndexType,
    IntegerAttr,
    MemRefType,
    SymbolRefAttr,
    i64,
)
from xdsl.dialects.utils import DynamicIndexList
from xdsl.ir import Dialect, Operation
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.attrs import (
    DIRECTIONS,
    DirectionKeyword,
    PacketInfoAttr,
    keyword_of,
    ui32,
)
from xdna.dialect.op import BOOL, I32, I64, Value, i32_or_none

DYNAMIC = -(2**63)  # stands for a number that is only known at run time
UI32 = IntegerAttr.constr(ui32)
I64_ARRAY = DenseArrayBase.constr(i64)


def _u32(value: int | None) -> IntegerAttr | None:
    return None if value is None else IntegerAttr(value, ui32)


@irdl_op_definition
class NpuDmaMemcpyNdOp(IRDLOperation):
    """A transfer of a shim; sizes and strides are in elements, outermost first."""

    name = "aiex.npu.dma_memcpy_nd"
    memref = operand_def(MemRefType)
    offsets = var_operand_def(i64)
    sizes = var_operand_def(i64)
    strides = var_operand_def(i64)
    static_offsets = prop_def(I64_ARRAY)
    static_sizes = prop_def(I64_ARRAY)
    static_strides = prop_def(I64_ARRAY)
    packet = opt_prop_def(PacketInfoAttr)
    metadata = prop_def(SymbolRefAttr)
    id = prop_def(I64)
    issue_token = opt_prop_def(BOOL)
    d0_zero_before = opt_prop_def(I64)
    d1_zero_before = opt_prop_def(I64)
    d2_zero_before = opt_prop_def(I64)
    d0_zero_after = opt_prop_def(I64)
    d1_zero_after = opt_prop_def(I64)
    d2_zero_after = opt_prop_def(I64)
    burst_length = opt_prop_def(I64)
    irdl_options = (AttrSizedOperandSegments(as_property=True), ParsePropInAttrDict())
    custom_directives = (DynamicIndexList,)
    assembly_format = (
        "`(` $memref `` custom<DynamicIndexList>($offsets, $static_offsets)"
        " `` custom<DynamicIndexList>($sizes, $static_sizes)"
        " `` custom<DynamicIndexList>($strides, $static_strides)"
        " (`,` `packet` `=` $packet^)? `)` attr-dict `:` type($memref)"
    )

    def __init__(
        self,
        memref: Value,
        metadata: str,
        id: int,
        sizes: Sequence[int],
        strides: Sequence[int],
        offsets: Sequence[int] = (0, 0, 0, 0),
        issue_token: bool = False,
    ):
        super().__init__(
            operands=[memref, [], [], []],
            properties={
                "static_offsets": DenseArrayBase.from_list(i64, offsets),
                "static_sizes": DenseArrayBase.from_list(i64, sizes),
                "static_strides": DenseArrayBase.from_list(i64, strides),
                "metadata": SymbolRefAttr(metadata),
                "id": IntegerAttr(id, i64),
                "issue_token": BoolAttr.from_bool(True) if issue_token else None,
            },
        )

    def verify_(self) -> None:
        for name in ("offsets", "sizes", "strides"):
            values = getattr(self, f"static_{name}").get_values()
            if len(values) != 4:
                raise VerifyException(f"needs 4 {name}, got {len(values)}")
            num_dynamic = sum(value == DYNAMIC for value in values)
            if num_dynamic != len(getattr(self, name)):
                raise VerifyException(f"has {num_dynamic} dynamic {name} of others")


@irdl_op_definition
class NpuDmaWaitOp(IRDLOperation):
    name = "aiex.npu.dma_wait"
    symbol = prop_def(FlatSymbolRefAttrConstr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict"

    def __init__(self, symbol: str):
        super().__init__(properties={"symbol": SymbolRefAttr(symbol)})


@irdl_op_definition
class NpuRtpWriteOp(IRDLOperation):
    name = "aiex.npu.rtp_write"
    buffer = prop_def(FlatSymbolRefAttrConstr)
    index = prop_def(UI32)
    value = prop_def(I32)
    assembly_format = "`(` $buffer `,` $index `,` $value `)` attr-dict"

    def __init__(self, buffer: str, index: int, value: int):
        super().__init__(
            properties={
                "buffer": SymbolRefAttr(buffer),
                "index": _u32(index),
                "value": i32_or_none(value),
            }
        )


@irdl_op_definition
class SetLockOp(IRDLOperation):
    name = "aiex.set_lock"
    lock = operand_def(IndexType())
    value = prop_def(I32)
    assembly_format = "`(` $lock `,` $value `)` attr-dict"

    def __init__(self, lock: Value, value: int):
        super().__init__(operands=[lock], properties={"value": i32_or_none(value)})


class _Write(IRDLOperation):
    """A write to an address of the array, or of a buffer or tile if one is given."""

    address = prop_def(UI32)
    buffer = opt_prop_def(FlatSymbolRefAttrConstr)
    column = opt_prop_def(I32)
    row = opt_prop_def(I32)
    irdl_options = (ParsePropInAttrDict(),)


@irdl_op_definition
class NpuWrite32Op(_Write):
    name = "aiex.npu.write32"
    value = prop_def(UI32)
    assembly_format = "attr-dict"

    def __init__(
        self,
        address: int,
        value: int,
        column: int | None = None,
        row: int | None = None,
    ):
        super().__init__(
            properties={
                "address": _u32(address),
                "value": _u32(value),
                "column": i32_or_none(column),
                "row": i32_or_none(row),
            }
        )


@irdl_op_definition
class NpuMaskWrite32Op(_Write):
    name = "aiex.npu.maskwrite32"
    value = prop_def(UI32)
    mask = prop_def(UI32)
    assembly_format = "attr-dict"


@irdl_op_definition
class NpuBlockWriteOp(_Write):
    name = "aiex.npu.blockwrite"
    data = operand_def(MemRefType)
    assembly_format = "`(` $data `)` attr-dict `:` type($data)"


@irdl_op_definition
class NpuAddressPatchOp(IRDLOperation):
    name = "aiex.npu.address_patch"
    addr = prop_def(UI32)
    arg_idx = prop_def(I32)
    arg_plus = prop_def(I32)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict"


@irdl_op_definition
class NpuSyncOp(IRDLOperation):
    name = "aiex.npu.sync"
    column = prop_def(I32)
    row = prop_def(I32)
    direction = prop_def(I32)
    channel = prop_def(I32)
    column_num = prop_def(I32)
    row_num = prop_def(I32)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "attr-dict"

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.direction.value.data)


@irdl_op_definition
class NpuPushQueueOp(IRDLOperation):
    name = "aiex.npu.push_queue"
    column = prop_def(I32)
    row = prop_def(I32)
    direction = prop_def(I32)
    channel = prop_def(I32)
    issue_token = prop_def(BOOL)
    repeat_count = prop_def(I32)
    bd_id = prop_def(I32)
    irdl_options = (ParsePropInAttrDict(),)
    custom_directives = (DirectionKeyword,)
    assembly_format = (
        "`(` $column `,` $row `,` custom<DirectionKeyword>($direction) `:` $channel"
        " `)` attr-dict"
    )

    def verify_(self) -> None:
        keyword_of(DIRECTIONS, self.direction.value.data)


OPERATIONS: list[type[Operation]] = [
    NpuAddressPatchOp,
    NpuBlockWriteOp,
    NpuDmaMemcpyNdOp,
    NpuDmaWaitOp,
    NpuMaskWrite32Op,
    NpuPushQueueOp,
    NpuRtpWriteOp,
    NpuSyncOp,
    NpuWrite32Op,
    SetLockOp,
]

Aiex = Dialect("aiex", OPERATIONS, [])
