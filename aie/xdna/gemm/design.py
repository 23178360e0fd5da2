"""The GEMM array's design as MLIR: tiles, buffers, locks, flows and programs.

Every DMA program is an endless chain over the buffers of a tile, and every core loops
forever, so the design is loaded once and serves every shape. `programs` holds the
programs of memtiles and cores.
"""

import threading
from collections.abc import Mapping

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import func
from xdsl.dialects.builtin import MemRefType, ModuleOp, bf16, f32, i32
from xdsl.ir import Attribute, Block, Region, SSAValue

from xdna.devices import CORE, FIRST_CORE_ROW, MEMTILE_ROW, SHIM_ROW
from xdna.dialect.aie import (
    BufferOp,
    CoreOp,
    DeviceOp,
    FlowOp,
    LockOp,
    MemOp,
    ShimDmaAllocationOp,
    TileOp,
)
from xdna.gemm.array import A_CHANNEL, B_CHANNEL, C_CHANNEL, GO_LOCK, GemmArray
from xdna.gemm.programs.core import core_program
from xdna.gemm.programs.dma import Channel, Transfer, dma_program
from xdna.gemm.programs.kernel_calls import MATMUL_TILES
from xdna.gemm.programs.memtile import FIRST_C_CHANNEL, add_memtile, core_dims
from xdna.gemm.programs.tile_parts import (
    ELEMENT_TYPES,
    Dims,
    Values,
    locks_of,
    num_elements,
)
from xdna.gemm.programs.tiled_core import tiled_core_program

KERNELS_OBJECT = "gemm_kernels.o"

# An implicit builder of xDSL changes a class for all threads, as long as it lasts.
_BUILDING = threading.Lock()

Tiles = Mapping[tuple[int, int], SSAValue]


def gemm_design(array: GemmArray) -> ModuleOp:
    """The design of `array`, fully placed: addresses, lock and BD ids are final.

    It links the kernels of `aie/kernels` as `gemm_kernels.o`, and has no runtime
    sequence: `xdna.gemm.stream` makes the instruction words of a run.
    """
    with _BUILDING:
        return _gemm_design(array)


def one_core(array: GemmArray) -> CoreOp:
    """A core of the design with its program; all others have the same."""
    with _BUILDING, ImplicitBuilder(Block()):
        tile = TileOp(0, FIRST_CORE_ROW).result
        return _core(array, tile, "0")


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
            add_memtile(array, column, tiles[column, MEMTILE_ROW])
            for row in range(array.num_rows):
                _core(array, tiles[column, FIRST_CORE_ROW + row], f"{column}_{row}")
    return ModuleOp([DeviceOp(array.device_name, body, "gemm")])


def _kernel_declarations(array: GemmArray) -> None:
    a, b, sums = (
        MemRefType(bf16, [array.part_m, array.k]),
        MemRefType(bf16, [array.k, array.n]),
        MemRefType(ELEMENT_TYPES[array.sums], [array.part_m, array.n]),
    )
    kernels: dict[str, list[Attribute]] = {}
    if array.is_tiled:  # and its flags
        kernels[MATMUL_TILES] = [a, b, sums, i32]
    else:
        of_sums = {"float32": "f32", "bfloat16": "bf16"}[array.sums]
        kernels[f"zero_{of_sums}"] = [sums]
        kernels[f"matmul_bf16_{of_sums}"] = [a, b, sums]
    if array.out != array.sums:
        c = MemRefType(ELEMENT_TYPES[array.out], [array.part_m, array.n])
        kernels["convert_f32_bf16"] = [sums, c]
    for name, types in kernels.items():
        func.FuncOp.external(name, types, [])


def _flows(array: GemmArray, tiles: Tiles) -> None:
    sends = array.memtile_sends
    for row, column in enumerate(array.a_columns):
        shim, memtile = tiles[column, SHIM_ROW], tiles[column, MEMTILE_ROW]
        FlowOp(shim, A_CHANNEL, memtile, A_CHANNEL)
        for target in range(array.num_columns):  # broadcast along the core row
            core = tiles[target, FIRST_CORE_ROW + row]
            FlowOp(memtile, sends["a"], core, A_CHANNEL)
        ShimDmaAllocationOp(f"a_{row}", shim, "MM2S", A_CHANNEL)
    for column in range(array.num_columns):
        shim, memtile = tiles[column, SHIM_ROW], tiles[column, MEMTILE_ROW]
        FlowOp(shim, B_CHANNEL, memtile, B_CHANNEL)
        for row in range(array.num_rows):
            core = tiles[column, FIRST_CORE_ROW + row]
            FlowOp(memtile, sends["b"], core, B_CHANNEL)  # broadcast down the column
            FlowOp(core, C_CHANNEL, memtile, FIRST_C_CHANNEL + row)
        FlowOp(memtile, sends["c"], shim, C_CHANNEL)
        ShimDmaAllocationOp(f"b_{column}", shim, "MM2S", B_CHANNEL)
        ShimDmaAllocationOp(f"c_{column}", shim, "S2MM", C_CHANNEL)


def _core(array: GemmArray, tile: SSAValue, suffix: str) -> CoreOp:
    shapes = {
        "a": MemRefType(bf16, [array.part_m, array.k]),
        "b": MemRefType(bf16, [array.k, array.n]),
        "c": MemRefType(ELEMENT_TYPES[array.out], [array.part_m, array.n]),
        "accumulator": MemRefType(f32, [array.part_m, array.n]),
        "parameters": MemRefType(i32, [array.num_parameters]),
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
    free = {"a": array.num_a_buffers, "b": 2, "c": array.num_c_buffers * array.parts}
    locks = locks_of(tile, free, f"core_{suffix}")
    locks["go"] = LockOp(tile, GO_LOCK, 0, f"go_{suffix}").result
    arriving = {name: core_dims(array, name) for name in "ab"}
    channels = [
        Channel("S2MM", A_CHANNEL, _fills(buffers, "a", locks, arriving["a"])),
        Channel("S2MM", B_CHANNEL, _fills(buffers, "b", locks, arriving["b"])),
        Channel("MM2S", C_CHANNEL, _sends(buffers, "c", locks)),
    ]
    MemOp(tile, dma_program(CORE.dma, channels))
    make_program = tiled_core_program if array.is_tiled else core_program
    program = make_program(array, buffers, locks)
    return CoreOp(tile, program, KERNELS_OBJECT, array.stack_bytes)


def _fills(
    buffers: Values, name: str, locks: Values, dims: Dims | None
) -> list[Transfer]:
    """The transfers that fill the buffers of an operand in turn."""
    free, full = locks[f"{name}_free"], locks[f"{name}_full"]
    return [
        Transfer(buffer, num_elements(buffer), free, full, dims=dims)
        for buffer in _ring(buffers, name)
    ]


def _sends(buffers: Values, name: str, locks: Values) -> list[Transfer]:
    """The transfers that empty them."""
    free, full = locks[f"{name}_free"], locks[f"{name}_full"]
    return [
        Transfer(buffer, num_elements(buffer), full, free)
        for buffer in _ring(buffers, name)
    ]


def _ring(buffers: Values, name: str) -> list[SSAValue]:
    count = sum(one.startswith(f"{name}_") for one in buffers)
    return [buffers[f"{name}_{i}"] for i in range(count)]
