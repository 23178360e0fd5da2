"""Constraints and small helpers for the operations of the `aie` and `aiex` dialects."""

from xdsl.dialects.builtin import (
    BoolAttr,
    IntegerAttr,
    MemRefType,
    StringAttr,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import IRDLOperation
from xdsl.utils.exceptions import VerifyException

Value = SSAValue | Operation

I8 = IntegerAttr.constr(i8)
I32 = IntegerAttr.constr(i32)
I64 = IntegerAttr.constr(i64)
BOOL = BoolAttr.constr(i1)


def i32_or_none(value: int | None) -> IntegerAttr | None:
    return None if value is None else IntegerAttr(value, i32)


def string_or_none(value: str | None) -> StringAttr | None:
    return None if value is None else StringAttr(value)


def element_count(type: Attribute) -> int:
    assert isinstance(type, MemRefType)
    return type.element_count()


def check_not_negative(op: IRDLOperation, *names: str) -> None:
    for name in names:
        attr = op.properties.get(name)
        if isinstance(attr, IntegerAttr) and attr.value.data < 0:
            raise VerifyException(f"{name} must not be negative, got {attr.value.data}")
