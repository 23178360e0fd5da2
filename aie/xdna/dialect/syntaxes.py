"""The model of a design, and what mlir-aie 1.4 writes in its place.

The model has numbers where mlir-aie 1.3 has them, in properties. In 1.4 they are
operands, mostly constants, and a BD keeps them in other properties: `to_model` takes a
parsed module of either release to the model, `in_syntax` a module of the model to what
is printed.
"""

from collections.abc import Sequence

from xdsl.dialects.arith import ConstantOp
from xdsl.dialects.builtin import DenseArrayBase, IntegerAttr, ModuleOp, i32, i64
from xdsl.ir import Operation, Region, SSAValue
from xdsl.irdl import IRDLOperation
from xdsl.rewriter import Rewriter
from xdsl.utils.exceptions import VerifyException

from xdna.dialect.aie import DeviceOp, DmaBdOp, UseLockOp
from xdna.dialect.aiex import NpuDmaMemcpyNdOp
from xdna.dialect.attrs import BdDimLayoutArrayAttr
from xdna.dialect.npu_ops import NpuOp
from xdna.dialect.op import DYNAMIC, constant_of
from xdna.releases import SYNTAXES

BD_SEGMENTS = ("buffer", "offset", "len", "sizes", "strides")
MEMCPY_RANK = 4
MEMCPY_FILLERS = {"offsets": 0, "sizes": 1, "strides": 0}
MASK = 2**32 - 1


def to_model(op: Operation) -> None:
    """Makes the model of one operation, in place, after those before it.

    A number that is not known before run time stays what it is.

    Raises:
      VerifyException: if a BD contradicts itself.
    """
    match op:
        case UseLockOp():
            _lock_to_model(op)
        case DmaBdOp():
            _bd_to_model(op)
        case NpuOp() if op.numbers:
            _npu_to_model(op)
        case NpuDmaMemcpyNdOp():
            _memcpy_to_model(op)
    if isinstance(op, IRDLOperation) and op.name.startswith(("aie.", "aiex.")):
        # What later releases add and we do not know is kept, not refused.
        known = op.get_irdl_definition().properties
        for name in [name for name in op.properties if name not in known]:
            op.attributes[name] = op.properties.pop(name)


def in_syntax(module: ModuleOp, syntax: str) -> ModuleOp:
    """A module as a release of mlir-aie takes it; the one given stays as it is.

    Raises:
      ValueError: if there is no such syntax.
    """
    if syntax not in SYNTAXES:
        raise ValueError(
            f"syntax must be that of mlir-aie {' or '.join(SYNTAXES)}, got {syntax!r}"
        )
    if syntax == "1.3":
        return module
    module = module.clone()
    amounts: dict[tuple[Region, int], SSAValue] = {}  # constants of `aie.use_lock`
    for op in list(module.walk()):
        match op:
            case UseLockOp() if op.amount_operand is None:
                amount = _shared_amount(op, amounts)
                op.properties.pop("value", None)
                op.operands = [op.lock, amount]
            case DmaBdOp() if op.segments is None:
                _bd_from_model(op)
            case NpuOp() if not op.numbers:
                _npu_from_model(op)
    return module


def _lock_to_model(op: UseLockOp) -> None:
    if op.amount_operand is None:
        op.properties.setdefault("value", IntegerAttr(1, i32))  # the default of 1.3
        return
    if op.value is not None:
        return  # the verifier tells
    number = constant_of(op.amount_operand)
    if number is not None:
        constant = op.amount_operand
        op.operands = [op.lock]
        op.properties["value"] = IntegerAttr(number, i32)
        _erase_unused([constant])


def _bd_to_model(op: DmaBdOp) -> None:
    properties = op.properties
    new = [name for name in properties if name.startswith("static_")]
    if op.segments is None and not new:
        if op.numbers:
            raise VerifyException("operands need operandSegmentSizes")
        return
    if op.dimensions is not None:
        # mlir-aie 1.4 drops it without a word, and the transfer is another one.
        raise VerifyException(
            "dimensions are of mlir-aie 1.3, and static_len, static_sizes and "
            "static_strides of 1.4: give one or the other"
        )
    parts = _segments(op)
    used: list[SSAValue] = []
    for name in "offset", "len":
        number = properties.get(f"static_{name}")
        for value in parts[name]:
            number = IntegerAttr(_number(value, f"{name} of a BD"), i32)
            used.append(value)
        properties.pop(f"static_{name}", None)
        if number is not None:
            properties[name] = number
    pattern = []
    for name in "sizes", "strides":
        array = properties.pop(f"static_{name}", None)
        numbers = list(array.get_values()) if isinstance(array, DenseArrayBase) else []
        places = [i for i, number in enumerate(numbers) if number == DYNAMIC]
        values = parts[name]
        if len(values) != len(places):
            what = f"{len(places)} operands for {name}, got {len(values)}"
            raise VerifyException(f"needs {what}")
        for i, value in zip(places, values):
            numbers[i] = _number(value, f"{name} of a BD")
            used.append(value)
        pattern.append(numbers)
    sizes, strides = pattern
    if len(sizes) != len(strides):
        what = f"{len(sizes)} sizes and {len(strides)} strides"
        raise VerifyException(f"needs as many sizes as strides, got {what}")
    if sizes:
        dims = tuple((int(size), int(stride)) for size, stride in zip(sizes, strides))
        properties["dimensions"] = BdDimLayoutArrayAttr(dims)
    properties.pop("operandSegmentSizes", None)
    op.operands = [op.buffer]
    _erase_unused(used)


def _segments(op: DmaBdOp) -> dict[str, Sequence[SSAValue]]:
    counts = [1, 0, 0, 0, 0] if op.segments is None else op.segments.get_values()
    if len(counts) != len(BD_SEGMENTS) or sum(counts) != len(op.operands):
        raise VerifyException(
            f"operandSegmentSizes must be of {', '.join(BD_SEGMENTS)} and count "
            f"{len(op.operands)} operands, got {list(counts)}"
        )
    parts, done = {}, 0
    for name, count in zip(BD_SEGMENTS, counts):
        parts[name] = op.operands[done : done + int(count)]
        done += int(count)
    return parts


def _number(value: SSAValue, what: str) -> int:
    number = constant_of(value)
    if number is None:
        raise VerifyException(f"{what} must be a constant, is known at run time only")
    return number


def _npu_to_model(op: NpuOp) -> None:
    numbers = [constant_of(value) for value in op.numbers]
    if None in numbers or len(numbers) != len(op.FROM_OPERANDS):
        return
    constants = list(op.numbers)
    op.operands = []
    for (name, type), number in zip(op.FROM_OPERANDS.items(), numbers):
        assert number is not None
        number = number if type == i32 else number & MASK
        op.properties[name] = IntegerAttr(number, type)
    _erase_unused(constants)


def _memcpy_to_model(op: NpuDmaMemcpyNdOp) -> None:
    """Constants take the places that `DYNAMIC` holds for operands, and 1.4's shorter
    lists are filled up with outer dimensions of size 1."""
    segments, kept, constants = [1], [op.memref], []
    lists = [op.properties.get(f"static_{name}") for name in MEMCPY_FILLERS]
    lengths = {len(one) for one in lists if isinstance(one, DenseArrayBase)}
    missing = MEMCPY_RANK - max(lengths) if len(lengths) == 1 else 0
    for name, filler in MEMCPY_FILLERS.items():
        array = op.properties.get(f"static_{name}")
        numbers = list(array.get_values()) if isinstance(array, DenseArrayBase) else []
        places = [i for i, number in enumerate(numbers) if number == DYNAMIC]
        values: Sequence[SSAValue] = getattr(op, name)
        numbers[:0] = [filler] * missing
        places = [place + missing for place in places]
        if len(places) != len(values):
            return  # the verifier tells
        found = [constant_of(value) for value in values]
        for place, number in zip(places, found):
            numbers[place] = DYNAMIC if number is None else number
        left = [value for value, number in zip(values, found) if number is None]
        constants += [v for v, number in zip(values, found) if number is not None]
        op.properties[f"static_{name}"] = DenseArrayBase.from_list(i64, numbers)
        segments.append(len(left))
        kept += left
    op.operands = kept
    op.properties["operandSegmentSizes"] = DenseArrayBase.from_list(i32, segments)
    _erase_unused(constants)


def _erase_unused(constants: Sequence[SSAValue]) -> None:
    for value in dict.fromkeys(constants):
        constant = value.owner
        if isinstance(constant, ConstantOp) and not any(True for _ in value.uses):
            Rewriter.erase_op(constant)


def _shared_amount(
    op: UseLockOp, amounts: dict[tuple[Region, int], SSAValue]
) -> SSAValue:
    """The constant of a lock's amount, at the head of the outermost region below a
    device: behind it every block of a DMA program sees it."""
    region = _program(op)
    key = region, op.amount
    if key not in amounts:
        constant = ConstantOp.from_int_and_width(op.amount, i32)
        constant.result.name_hint = f"lock_by_{op.amount}"
        block = region.blocks[0]
        last = None  # of the amounts that are there already
        for (place, _), value in amounts.items():
            if place is region and isinstance(value.owner, Operation):
                last = value.owner
        if last is None:
            block.insert_op_before(constant, next(iter(block.ops)))
        else:
            block.insert_op_after(constant, last)
        amounts[key] = constant.result
    return amounts[key]


def _program(op: Operation) -> Region:
    region = op.parent_region()
    assert region is not None
    while (around := region.parent) is not None and not isinstance(around, DeviceOp):
        outer = around.parent_region()
        if outer is None or isinstance(outer.parent, DeviceOp | None):
            break
        region = outer
    return region


def _bd_from_model(op: DmaBdOp) -> None:
    properties = op.properties
    dims = () if op.dimensions is None else op.dimensions.data
    properties["static_offset"] = properties.pop("offset")
    if op.len is not None:
        properties["static_len"] = properties.pop("len")
    if dims:
        sizes, strides = zip(*dims)
        properties["static_sizes"] = DenseArrayBase.from_list(i64, sizes)
        properties["static_strides"] = DenseArrayBase.from_list(i64, strides)
    properties.pop("dimensions", None)
    properties["operandSegmentSizes"] = DenseArrayBase.from_list(i32, [1, 0, 0, 0, 0])


def _npu_from_model(op: NpuOp) -> None:
    block = op.parent
    assert block is not None
    values = []
    for name in op.FROM_OPERANDS:
        attr = op.properties.pop(name)
        assert isinstance(attr, IntegerAttr)
        number = attr.value.data
        signed = number - 2**32 if number >= 2**31 else number
        constant = ConstantOp.from_int_and_width(signed, i32)
        constant.result.name_hint = name
        block.insert_op_before(constant, op)
        values.append(constant.result)
    op.operands = values
