"""A readable listing of an instruction stream, one operation a line."""

from numpy.typing import ArrayLike

from xdna.devices import SHIM, SHIM_ROW, Device
from xdna.stream.bd_fields import pattern, queued_task, unpack
from xdna.stream.decoding import decode
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    LoadPdi,
    MaskWrite,
    Operation,
    Preempt,
    Sync,
    Write,
    split_address,
)
from xdna.stream.registers import Register, register_at


def disassemble(words: ArrayLike) -> str:
    """A line for the header, then the first word and the meaning of each operation.

    Raises:
      ValueError: if the words are not a stream, as `decoding.decode`.
    """
    header, stream = decode(words)
    lines = [
        f"{header.device.name}: {header.num_operations} operations, "
        f"{header.num_bytes} bytes"
    ]
    for word, operation in stream:
        lines.append(f"{word:6d}  {_meaning(header.device, operation)}")
    return "\n".join(lines) + "\n"


def _meaning(device: Device, operation: Operation) -> str:
    match operation:
        case Write(address, value):
            return f"WRITE       {_place(device, address)} <- {_value(address, value)}"
        case MaskWrite(address, value, mask):
            place = _place(device, address)
            return f"MASKWRITE   {place} <- {value:#x}, mask {mask:#x}"
        case BlockWrite(address, data):
            return f"BLOCKWRITE  {_block(device, address, data)}"
        case DdrPatch(address, argument, offset):
            place = _place(device, address)
            return f"DDR_PATCH   {place} <- argument {argument} + {offset} bytes"
        case Sync(column, row, direction, channel, num_columns, num_rows):
            columns, rows = _span(column, num_columns), _span(row, num_rows)
            return f"SYNC        token of ({columns}, {rows}) {direction} {channel}"
        case LoadPdi(number, size_bytes, address):
            return f"LOADPDI     {number}: {size_bytes} bytes at {address:#x}"
        case Preempt(level):
            return f"PREEMPT     level {level}"


def _place(device: Device, address: int) -> str:
    column, row, offset = split_address(address)
    if column >= device.num_columns or row >= device.num_rows:
        return f"no tile ({column}, {row}) {offset:#x}"
    kind = device.tile(column, row)
    return f"{kind.name} ({column}, {row}) {register_at(kind, offset) or hex(offset)}"


def _value(address: int, value: int) -> str:
    _, row, offset = split_address(address)
    register = register_at(SHIM, offset) if row == SHIM_ROW else None
    if register is None or register.what != "queue":
        return str(value)
    bd_id, repeat, token = queued_task(value)
    times = f"{repeat} time{'s' * (repeat > 1)}"
    return f"BD {bd_id}, {times}{', token' if token else ''}"


def _block(device: Device, address: int, data: tuple[int, ...]) -> str:
    column, row, offset = split_address(address)
    register = register_at(SHIM, offset) if row == SHIM_ROW else None
    whole_bd = len(data) == SHIM.dma.bd_words
    if register and register == Register("bd", register.number) and whole_bd:
        return f"shim ({column}, 0) BD {register.number} <- {_bd(data)}"
    return f"{_place(device, address)} <- {' '.join(f'{word:#x}' for word in data)}"


def _bd(words: tuple[int, ...]) -> str:
    fields = unpack(words)
    sizes, strides = pattern(fields)
    text = f"{fields['length']} words, sizes {list(sizes)} strides {list(strides)}"
    shown = ("length", "wrap", "step", "address", "burst", "axcache", "valid")
    rest = [
        f"{name} {value}"
        for name, value in fields.items()
        if value and not any(part in name for part in shown)
    ]
    return ", ".join([text, *rest, *([] if fields["valid"] else ["not valid"])])


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
