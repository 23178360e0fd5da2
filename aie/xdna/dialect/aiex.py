"""The `aiex` operations of a runtime sequence.

mlir-aie 1.4 has numbers as operands that are properties in 1.3 and in the model.
"""

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

from xdna.dialect.attrs import PacketInfoAttr
from xdna.dialect.npu_ops import (
    UI32,
    NpuAddressPatchOp,
    NpuMaskWrite32Op,
    NpuPushQueueOp,
    NpuRtpWriteOp,
    NpuSyncOp,
    NpuWrite32Op,
)
from xdna.dialect.op import (
    BOOL,
    DYNAMIC,
    I32,
    I64,
    I64_ARRAY,
    Value,
    i32_or_none,
)

__all__ = [
    "OPERATIONS",
    "Aiex",
    "NpuAddressPatchOp",
    "NpuBlockWriteOp",
    "NpuDmaMemcpyNdOp",
    "NpuDmaWaitOp",
    "NpuMaskWrite32Op",
    "NpuPushQueueOp",
    "NpuRtpWriteOp",
    "NpuSyncOp",
    "NpuWrite32Op",
    "SetLockOp",
]


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
class SetLockOp(IRDLOperation):
    name = "aiex.set_lock"
    lock = operand_def(IndexType())
    value = prop_def(I32)
    assembly_format = "`(` $lock `,` $value `)` attr-dict"

    def __init__(self, lock: Value, value: int):
        super().__init__(operands=[lock], properties={"value": i32_or_none(value)})


@irdl_op_definition
class NpuBlockWriteOp(IRDLOperation):
    name = "aiex.npu.blockwrite"
    address = prop_def(UI32)
    buffer = opt_prop_def(FlatSymbolRefAttrConstr)
    column = opt_prop_def(I32)
    row = opt_prop_def(I32)
    data = operand_def(MemRefType)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "`(` $data `)` attr-dict `:` type($data)"


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
