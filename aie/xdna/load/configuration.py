"""A placed design as the configuration that the virtual NPU loads.

`aie/sim/program/configuration.h` documents the format of the text. It refers to
everything by index and counts bytes or words: this module resolves symbols and types.
"""

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from xdna.check.memory import num_bytes
from xdna.check.placed_design import PlacedDesign, Tile, lock_of, name_of
from xdna.check.whole_design import RUN_CHECKS, check_design
from xdna.devices import DEVICES
from xdna.dialect.aie import BufferOp, CoreOp, DeviceOp, LockOp, UseLockOp
from xdna.load.core_calls import Kernels
from xdna.load.core_lowering import core_lines
from xdna.load.dma_lowering import dma_lines
from xdna.load.normal_form import normalize
from xdna.load.parameters import parameters
from xdna.load.route_lowering import cascade_lines, route_lines
from xdna.timing import Timing

Words = Sequence[object]  # a line


def configuration(
    module: ModuleOp, is_placed: bool = True, times: Timing | None = None
) -> str:
    """The text of a design whose addresses, lock ids and BD ids are final.

    Cores may be in scf or in cf form; a runtime sequence is left out, unchecked.

    Args:
      times: of the array; by default those of the chosen machine.

    Raises:
      ValueError: in one line, if the design breaks a limit of its device, or holds
        something that a configuration cannot express.
    """
    module = module.clone()  # programs are rewritten in place
    normalize(module)
    violations = check_design(module, is_placed, checks=RUN_CHECKS)
    if violations:
        more = len(violations) - 1
        rest = f" (and {more} more)" if more else ""
        raise ValueError(f"{violations[0]}{rest}")
    devices = [op for op in module.walk() if isinstance(op, DeviceOp)]
    if len(devices) > 1:
        raise ValueError(f"a configuration is of one aie.device, got {len(devices)}")
    design = PlacedDesign(devices[0], DEVICES[devices[0].device_name], is_placed)
    _check_locks_wait(design)
    functions = [op for op in module.walk() if isinstance(op, FuncOp)]
    kernels = Kernels({op.sym_name.data: op for op in functions})
    return "".join(
        " ".join(map(str, line)) + "\n" for line in _lines(design, kernels, times)
    )


def _lines(
    design: PlacedDesign, kernels: Kernels, times: Timing | None
) -> Iterator[Words]:
    yield "jax-npu-configuration", 1
    yield "device", design.device.name
    for name, value in parameters(design.device, times).items():
        yield "param", name, value
    yield from _buffer_lines(design)
    yield from _lock_lines(design)
    buffers = {op: i for i, (_, op) in enumerate(design.on_tiles(BufferOp))}
    locks = {op: i for i, (_, op) in enumerate(design.on_tiles(LockOp))}
    yield from dma_lines(design, locks)
    yield from route_lines(design)
    yield from cascade_lines(design)
    # Kernels are numbered by their calls, so cores are lowered before kernels are
    # written, and written after them.
    cores = []
    for tile, core in design.on_tiles(CoreOp):
        if core.elf_file is not None:
            raise ValueError(f"core of tile {tile}: its program lies in an elf_file")
        cores += core_lines(tile, core, buffers, locks, kernels)
    yield from kernels.lines()
    yield from cores


def _buffer_lines(design: PlacedDesign) -> Iterator[Words]:
    buffers = list(design.on_tiles(BufferOp))
    for tile, buffer in buffers:
        name = name_of(buffer)
        if buffer.address is None:
            raise ValueError(f"tile {tile}: buffer {name} has no address")
        address = buffer.address.value.data
        yield "buffer", *tile, address, num_bytes(buffer), _word(name)
    for index, (tile, buffer) in enumerate(buffers):
        if buffer.initial_value is not None:
            yield "data", index, _initial_bytes(tile, buffer).hex()


def _initial_bytes(tile: Tile, buffer: BufferOp) -> bytes:
    assert buffer.initial_value is not None
    data: bytes = buffer.initial_value.data.data
    if len(data) != num_bytes(buffer):
        what = f"an initial value of {len(data)} bytes, needs {num_bytes(buffer)}"
        raise ValueError(f"tile {tile}: buffer {name_of(buffer)} has {what}")
    return data


def _lock_lines(design: PlacedDesign) -> Iterator[Words]:
    for tile, lock in design.on_tiles(LockOp):
        if lock.lock_id is None:
            raise ValueError(f"tile {tile}: lock {name_of(lock)} has no id")
        init = 0 if lock.init is None else lock.init.value.data
        yield "lock", *tile, lock.lock_id.value.data, init, _word(name_of(lock))


def _check_locks_wait(design: PlacedDesign) -> None:
    for use in design.op.walk():
        if not isinstance(use, UseLockOp):
            continue
        lock = lock_of(use.lock)
        assert lock is not None  # the target check found no other operands
        for name, flag in ("blocking", use.blocking), ("acq_en", use.acq_en):
            if flag is not None and not flag.value.data:
                what = f"aie.use_lock of {name_of(lock)} must wait, got {name} = 0"
                raise ValueError(f"tile {design.tile(lock.tile)}: {what}")


def _word(name: str) -> str:
    """The name as one word, without characters that JSON would have to escape."""
    return "_".join(name.replace('"', "'").replace("\\", "/").split()) or "?"
