"""The GEMM array's design as MLIR: tiles, buffers, locks, flows and programs.

Every DMA program is an endless chain over the two halves of a buffer, and every core
loops forever, so the design is loaded once and serves every shape. Tiles of A and B
arrive at a memtile row by row and leave it as blocks (r, s) and (s, t), the operands of
the matrix instruction; C takes the opposite way.
"""

import threading
from collections.abc import Mapping

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import func
from xdsl.dialects.builtin import MemRefType, ModuleOp, bf16, f32, i32
from xdsl.ir import Block, Region, SSAValue

from xdna.devices import CORE, FIRST_CORE_ROW, MEMTILE, MEMTILE_ROW, SHIM_ROW
from xdna.dialect.aie import (
    BufferOp,
    CoreOp,
    DeviceOp,
    FlowOp,
    LockOp,
    MemOp,
    MemTileDmaOp,
    ShimDmaAllocationOp,
    TileOp,
)
from xdna.gemm.array import (
    A_CHANNEL,
    B_CHANNEL,
    C_CHANNEL,
    GO_LOCK,
    NUM_PARAMETERS,
    STACK_BYTES,
    GemmArray,
)
from xdna.gemm.core_program import core_program
from xdna.gemm.dma_program import Channel, Transfer, dma_program

KERNELS_OBJECT = "gemm_kernels.o"
# Channels of a memtile, after those of A and B.
FIRST_C_CHANNEL = 2  # S2MM, one for each core of the column
C_OUT_CHANNEL = 2  # MM2S

ELEMENT_TYPES = {"bfloat16": bf16, "float32": f32}

# An implicit builder of xDSL changes a class for all threads, as long as it lasts.
_BUILDING = threading.Lock()

Tiles = Mapping[tuple[int, int], SSAValue]
Values = Mapping[str, SSAValue]


def gemm_design(array: GemmArray) -> ModuleOp:
    """The design of `array`, fully placed: addresses, lock and BD ids are final.

    It links the kernels of `aie/kernels` as `gemm_kernels.o`, and has no runtime
    sequence: `xdna.gemm.stream` makes the instruction words of a run.
    """
    with _BUILDING:
        return _gemm_design(array)


def _gemm_design(array: GemmArray) -> ModuleOp:
    body = Region(Block())
    with ImplicitBuilder(body.block):
        tiles = {
            (column, row): TileOp(column, row).result
            for column in range(array.num_columns)
            for row in range(array.device.num_rows)
        }
        _kernel_declarations(array)
        _flows(array, tiles)
        for column in range(array.num_columns):
            _memtile(array, column, tiles[column, MEMTILE_ROW])
            for row in range(array.num_rows):
                _core(array, tiles[column, FIRST_CORE_ROW + row], f"{column}_{row}")
    return ModuleOp([DeviceOp(array.device_name, body, "gemm")])


def _kernel_declarations(array: GemmArray) -> None:
    a, b, sums = (
        MemRefType(bf16, [array.m, array.k]),
        MemRefType(bf16, [array.k, array.n]),
        MemRefType(f32, [array.m, array.n]),
    )
    kernels: dict[str, list[MemRefType]] = {
        "zero_f32": [sums],
        "matmul_bf16_f32": [a, b, sums],
    }
    if array.out != "float32":
        c = MemRefType(ELEMENT_TYPES[array.out], [array.m, array.n])
        kernels["convert_f32_bf16"] = [sums, c]
    for name, types in kernels.items():
        func.FuncOp.external(name, types, [])


def _flows(array: GemmArray, tiles: Tiles) -> None:
    for row, column in enumerate(array.a_columns):
        shim, memtile = tiles[column, SHIM_ROW], tiles[column, MEMTILE_ROW]
        FlowOp(shim, A_CHANNEL, memtile, A_CHANNEL)
        for target in range(array.num_columns):  # broadcast along the core row
            core = tiles[target, FIRST_CORE_ROW + row]
            FlowOp(memtile, A_CHANNEL, core, A_CHANNEL)
        ShimDmaAllocationOp(f"a_{row}", shim, "MM2S", A_CHANNEL)
    for column in range(array.num_columns):
        shim, memtile = tiles[column, SHIM_ROW], tiles[column, MEMTILE_ROW]
        FlowOp(shim, B_CHANNEL, memtile, B_CHANNEL)
        for row in range(array.num_rows):
            core = tiles[column, FIRST_CORE_ROW + row]
            FlowOp(memtile, B_CHANNEL, core, B_CHANNEL)  # broadcast down the column
            FlowOp(core, C_CHANNEL, memtile, FIRST_C_CHANNEL + row)
        FlowOp(memtile, C_OUT_CHANNEL, shim, C_CHANNEL)
        ShimDmaAllocationOp(f"b_{column}", shim, "MM2S", B_CHANNEL)
        ShimDmaAllocationOp(f"c_{column}", shim, "S2MM", C_CHANNEL)


def _memtile(array: GemmArray, column: int, tile: SSAValue) -> None:
    # A enters at a few columns only; every column has a B and a C.
    operands = ["b"] if column not in array.a_columns else ["a", "b"]
    shapes = {
        "a": MemRefType(bf16, [array.m, array.k]),
        "b": MemRefType(bf16, [array.k, array.n]),
        "c": MemRefType(ELEMENT_TYPES[array.out], [array.block_m, array.n]),
    }
    buffers = {
        buffer.name: BufferOp(
            tile, shapes[buffer.name[0]], f"l2_{buffer.name}_{column}", buffer.address
        ).buffer
        for buffer in array.memtile_buffers.values()
        if buffer.name[0] in [*operands, "c"]
    }
    # Each core of the column fills its own part of C, so each part has its own locks.
    parts = [f"c{row}" for row in range(array.num_rows)]
    locks = _locks(tile, dict.fromkeys([*operands, *parts], 2), f"l2_{column}")
    channels = [
        channel
        for operand in operands
        for channel in _input_channels(array, buffers, locks, operand)
    ]
    channels += _c_channels(array, buffers, locks)
    MemTileDmaOp(tile, dma_program(MEMTILE.dma, channels))


def _input_channels(
    array: GemmArray, buffers: Values, locks: Values, operand: str
) -> list[Channel]:
    """A memtile's way of A or B: in from DDR, out to the cores in blocks."""
    number = {"a": A_CHANNEL, "b": B_CHANNEL}[operand]
    dims = _input_dims(array)[operand]
    return [
        Channel("S2MM", number, _halves(buffers, operand, locks, fills=True)),
        Channel("MM2S", number, _halves(buffers, operand, locks, dims)),
    ]


def _c_channels(array: GemmArray, buffers: Values, locks: Values) -> list[Channel]:
    """A memtile's way of C: in from each core of the column, out to DDR in rows."""
    length = array.m * array.n  # elements of one core's part
    incoming = [
        Channel(
            "S2MM",
            FIRST_C_CHANNEL + row,
            [_c_part(buffers, locks, row, half, length) for half in "01"],
        )
        for row in range(array.num_rows)
    ]
    outgoing = [
        _c_part(buffers, locks, row, half, length, _c_dims(array))
        for half in "01"
        for row in range(array.num_rows)
    ]
    return [*incoming, Channel("MM2S", C_OUT_CHANNEL, outgoing)]


def _c_part(
    buffers: Values,
    locks: Values,
    row: int,
    half: str,
    length: int,
    dims: list[tuple[int, int]] | None = None,
) -> Transfer:
    """The transfer that fills core `row`'s part of a memtile's C.

    With `dims` it is the one that sends the part to DDR.
    """
    free, full = locks[f"c{row}_free"], locks[f"c{row}_full"]
    acquire, release = (free, full) if dims is None else (full, free)
    return Transfer(buffers[f"c_{half}"], length, acquire, release, row * length, dims)


def _core(array: GemmArray, tile: SSAValue, suffix: str) -> None:
    shapes = {
        "a": MemRefType(bf16, [array.m, array.k]),
        "b": MemRefType(bf16, [array.k, array.n]),
        "c": MemRefType(ELEMENT_TYPES[array.out], [array.m, array.n]),
        "accumulator": MemRefType(f32, [array.m, array.n]),
        "parameters": MemRefType(i32, [NUM_PARAMETERS]),
    }
    buffers = {
        buffer.name: BufferOp(
            tile,
            shapes[buffer.name.split("_")[0]],
            f"{buffer.name}_{suffix}",
            buffer.address,
        ).buffer
        for buffer in array.core_buffers.values()
    }
    # Halves that are free at the start, before any data has come.
    free = {"a": 2, "b": 2, "c": array.num_c_buffers}
    locks = _locks(tile, free, f"core_{suffix}")
    locks["go"] = LockOp(tile, GO_LOCK, 0, f"go_{suffix}").result
    channels = [
        Channel("S2MM", A_CHANNEL, _halves(buffers, "a", locks, fills=True)),
        Channel("S2MM", B_CHANNEL, _halves(buffers, "b", locks, fills=True)),
        Channel("MM2S", C_CHANNEL, _halves(buffers, "c", locks)),
    ]
    MemOp(tile, dma_program(CORE.dma, channels))
    program = core_program(array, buffers, locks)
    CoreOp(tile, program, KERNELS_OBJECT, STACK_BYTES)


def _locks(tile: SSAValue, free: Mapping[str, int], prefix: str) -> dict[str, SSAValue]:
    """Two semaphores for each name: one counts its free halves, one its full ones."""
    locks: dict[str, SSAValue] = {}
    for index, (name, count) in enumerate(free.items()):
        for offset, (state, init) in enumerate((("free", count), ("full", 0))):
            key = f"{name}_{state}"
            # ids in pairs: 0 and 1 for the first name, 2 and 3 for the second, ...
            lock = LockOp(tile, 2 * index + offset, init, f"{prefix}_{key}")
            locks[key] = lock.result
    return locks


def _halves(
    buffers: Values,
    name: str,
    locks: Values,
    dims: list[tuple[int, int]] | None = None,
    fills: bool = False,
) -> list[Transfer]:
    """The transfers that fill, or empty, the halves of a buffer in turn."""
    free, full = locks[f"{name}_free"], locks[f"{name}_full"]
    acquire, release = (free, full) if fills else (full, free)
    halves = [buffers[f"{name}_{i}"] for i in "01" if f"{name}_{i}" in buffers]
    return [
        Transfer(half, _num_elements(half), acquire, release, dims=dims)
        for half in halves
    ]


def _num_elements(buffer: SSAValue) -> int:
    assert isinstance(buffer.type, MemRefType)
    return buffer.type.element_count()


def _input_dims(array: GemmArray) -> dict[str, list[tuple[int, int]]]:
    """(size, stride)s that read row-major L2 tiles in the order of the L1 layouts.

    The kernels take blocks (r, s) of A and (s, t) of B, the matrix instruction's.
    """
    m, k, n = array.m, array.k, array.n
    r, s, t = array.device.mmul_shape
    if array.b_column_major:  # (n, k) to [n/t][k/s][t][s]
        b = [(n // t, t * k), (k // s, s), (t, k), (s, 1)]
    else:  # (k, n) to [k/s][n/t][s][t]
        b = [(k // s, s * n), (n // t, t), (s, n), (t, 1)]
    return {
        "a": [(m // r, r * k), (k // s, s), (r, k), (s, 1)],  # to [m/r][k/s][r][s]
        "b": b,
    }


def _c_dims(array: GemmArray) -> list[tuple[int, int]]:
    """(size, stride)s that read one core's part of C, [m/r][n/t][r][t], row by row."""
    m, n = array.m, array.n
    r, _, t = array.device.mmul_shape
    return [(m // r, r * n), (r, t), (n // t, r * t), (t, 1)]
