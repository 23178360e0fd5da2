"""Constraints and small helpers for the operations of the `aie` and `aiex` dialects."""

import functools

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import (
    BoolAttr,
    DenseArrayBase,
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
I32_ARRAY = DenseArrayBase.constr(i32)
I64_ARRAY = DenseArrayBase.constr(i64)
DYNAMIC = -(2**63)  # stands for a number that is only known at run time


@functools.lru_cache(maxsize=4096)  # attributes never change, and a design has many
def i32_or_none(value: int | None) -> IntegerAttr | None:
    return None if value is None else IntegerAttr(value, i32)


def string_or_none(value: str | None) -> StringAttr | None:
    return None if value is None else StringAttr(value)


def constant_of(value: SSAValue) -> int | None:
    """The number behind an operand, or None if it is no constant."""
    constant = value.owner
    if isinstance(constant, ConstantOp) and isinstance(constant.value, IntegerAttr):
        return constant.value.value.data
    return None


def element_count(type: Attribute) -> int:
    assert isinstance(type, MemRefType)
    return type.element_count()


def check_not_negative(op: IRDLOperation, *names: str) -> None:
    for name in names:
        attr = op.properties.get(name)
        if isinstance(attr, IntegerAttr) and attr.value.data < 0:
            raise VerifyException(f"{name} must not be negative, got {attr.value.data}")
