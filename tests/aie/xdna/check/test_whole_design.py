# ruff: noqa: E501  one breach a line
"""Every limit has a sample broken in one place, and the sample itself breaks none."""

import pathlib

import pytest

from xdna.check.whole_design import check_design, fullest_core
from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.gemm import memory
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design

DATA = pathlib.Path(__file__).parents[1] / "data"
SAMPLE = (DATA / "sample.mlir").read_text()

L2_DIMS = "[<size = 2, stride = 4>, <size = 16, stride = 8>, <size = 4, stride = 1>]"
L2_READ = f"(%l2_a : memref<16x8xbf16>, 0, 128, {L2_DIMS}) {{bd_id = 2"
L1_READ = "(%out_a : memref<128xbf16>, 0, 128) {bd_id = 2"
L2_A = '{sym_name = "l2_a", address = 0 : i32} : memref<16x8xbf16>'
OUT_A = '{sym_name = "out_a", address = 32768 : i32} : memref<128xbf16>'
MEMCPY = "%x[0, 0, 0, 0][2, 2, 16, 8][256, 8, 16, 1]"
X_TYPE = "32x16xbf16"
TILES = "%core = aie.tile(0, 2)"


def broken(*edits: tuple[str, str]) -> str:
    """The sample with each text replaced where it first occurs."""
    text = SAMPLE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def breaches(text: str, **kwargs) -> str:
    return "\n".join(map(str, check_design(parse_module(text), **kwargs)))


def l2_read(dims: str, length: int = 128) -> tuple[str, str]:
    return (
        L2_READ,
        f"(%l2_a : memref<16x8xbf16>, 0, {length}, {dims}) {{bd_id = 2",
    )


def l1_read(arguments: str) -> tuple[str, str]:
    return L1_READ, f"(%out_a : memref<128xbf16>, {arguments}) {{bd_id = 2"


def big(name: str, size: str, length: int, dims: str) -> list[tuple[str, str]]:
    """A large buffer on the memtile, read by its MM2S channel with these dimensions."""
    buffer = f'{{sym_name = "l2_a", address = 131072 : i32}} : memref<{size}>'
    return [
        (L2_A, buffer),
        (
            "aie.dma_bd(%l2_a : memref<16x8xbf16>, 0, 128)",
            f"aie.dma_bd(%l2_a : memref<{size}>, 0, 128)",
        ),
        (L2_READ, f"(%l2_a : memref<{size}>, 0, {length}, {dims}) {{bd_id = 2"),
    ]


def then(instruction: str) -> tuple[str, str]:
    """One more instruction, behind the sample's wait."""
    wait = "aiex.npu.dma_wait {symbol = @drain}"
    return wait, f"{wait}\n{instruction}"


# fmt: off
BROKEN = {
    # memory
    "buffer_outside_the_tile": ([("address = 49152", "address = 65408")], ["tile (0, 2)", "address", "65664", "limit 65536", "out_b"]),
    "buffers_overlap": ([("address = 16384", "address = 1152")], ["tile (0, 2)", "address", "1280", "limit 1152", "in_a"]),
    "buffer_overlaps_the_stack": ([("address = 1024", "address = 1008")], ["tile (0, 2)", "address", "1024", "limit 1008", "the stack"]),
    "stack_grows_into_a_buffer": ([("stack_size = 1024", "stack_size = 3328")], ["tile (0, 2)", "3328", "limit 1024", "the stack"]),
    "total_of_the_memtile": ([(L2_A, '{sym_name = "l2_a", address = 0 : i32} : memref<16x8xbf16>\n%huge = aie.buffer(%mem) {sym_name = "huge", address = 131072 : i32} : memref<600000xi8>')], ["tile (0, 1)", "data memory", "600512", "limit 524288"]),
    "bank_is_full": ([(OUT_A, '{sym_name = "out_a", address = 32768 : i32, mem_bank = 2 : i32} : memref<128xbf16>\n%big = aie.buffer(%core) {sym_name = "big", address = 33280 : i32, mem_bank = 2 : i32} : memref<16200xi8>')], ["tile (0, 2)", "memory of bank 2", "16456", "limit 16384"]),
    "bank_does_not_exist": ([("address = 32768 : i32", "address = 32768 : i32, mem_bank = 4 : i32")], ["tile (0, 2)", "bank", "needs 4", "limit 3"]),
    "buffer_without_address": ([(", address = 49152 : i32", "")], ["tile (0, 2)", "address", "out_b"]),
    "constants_without_room": ([("address = 49152", "address = 65280")], ["tile (0, 2)", "memory behind the buffers", "needs 1024", "limit 0", "scale.o", "65536"]),
    # tiles
    "unknown_column": ([(TILES, TILES + "\n%no = aie.tile(1, 2)")], ["tile (1, 2)", "limit (0, 5)", "npu1_1col"]),
    "unknown_row": ([(TILES, TILES + "\n%no = aie.tile(0, 6)")], ["tile (0, 6)", "limit (0, 5)"]),
    "tile_twice": ([(TILES, TILES + "\n%no = aie.tile(0, 2)")], ["tile (0, 2)", "needs 2", "limit 1"]),
    "core_on_a_memtile": ([("%c = aie.core(%core)", "%c = aie.core(%mem)")], ["tile (0, 1)", "core", "memtile"]),
    "core_twice": ([("%d = aie.mem", "%e = aie.core(%core) {\naie.end\n}\n%d = aie.mem")], ["tile (0, 2)", "core", "limit 1"]),
    # locks
    "lock_id": ([("aie.lock(%core, 4)", "aie.lock(%core, 16)")], ["tile (0, 2)", "lock id", "16", "limit 15"]),
    "memtile_lock_id": ([("aie.lock(%mem, 1)", "aie.lock(%mem, 64)")], ["tile (0, 1)", "lock id", "64", "limit 63"]),
    "lock_twice": ([("aie.lock(%core, 4)", "aie.lock(%core, 3)")], ["tile (0, 2)", "2 of 3", "limit 1", "out_full"]),
    "lock_without_id": ([("aie.lock(%core, 4)", "aie.lock(%core)")], ["tile (0, 2)", "lock id", "go"]),
    "lock_init": ([("init = 2", "init = 64")], ["tile (0, 1)", "lock value", "64", "limit 63"]),
    "lock_amount": ([("%in_free, Release, 1", "%in_free, Release, 64")], ["tile (0, 2)", "lock value", "64", "limit 63"]),
    "set_lock_value": ([("set_lock(%go, 1)", "set_lock(%go, 64)")], ["tile (0, 2)", "lock value", "64", "limit 63"]),
    "core_uses_a_memtile_lock": ([("use_lock(%go, A", "use_lock(%l2_full, A")], ["tile (0, 2)", "reach of the core", "l2_full of tile (0, 1)"]),
    "core_uses_a_lock_two_tiles_north": ([(TILES, TILES + "\n%far = aie.tile(0, 4)\n%far_lock = aie.lock(%far, 0)"), ("use_lock(%go, A", "use_lock(%far_lock, A")], ["tile (0, 2)", "reach of the core", "(0, 4)"]),
    "core_uses_a_memtile_buffer": ([("func.call @scale_bf16(%in_a, %out_a) : (memref<128xbf16>", "%v = memref.load %l2_a[%c0, %c0] : memref<16x8xbf16>\nfunc.call @scale_bf16(%in_a, %out_a) : (memref<128xbf16>")], ["tile (0, 2)", "reach of the core", "l2_a of tile (0, 1)"]),
    "dma_uses_a_lock_of_another_tile": ([("use_lock(%in_free, A", "use_lock(%l2_free, A")], ["tile (0, 2)", "lock reach of S2MM 0", "l2_free"]),
    "bd_with_two_acquires": ([("aie.use_lock(%out_full, A", "aie.use_lock(%in_full, AcquireGreaterEqual, 1)\naie.use_lock(%out_full, A")], ["tile (0, 2)", "locks acquired", "needs 2", "limit 1"]),
    # DMA programs
    "channel": ([("%1 = aie.dma_start(MM2S, 0, ^rd0, ^end)", "%1 = aie.dma_start(MM2S, 6, ^rd0, ^end)")], ["tile (0, 1)", "channel MM2S 6", "limit 5"]),
    "program_twice": ([("%d = aie.mem", "%e = aie.mem(%core) {\naie.end\n}\n%d = aie.mem")], ["tile (0, 2)", "DMA program", "needs 2", "limit 1"]),
    "program_of_another_tile": ([("%d = aie.mem(%core)", "%d = aie.mem(%shim)")], ["tile (0, 0)", "DMA program", "shim"]),
    "start_that_nothing_reaches": ([("%1 = aie.dma_start(MM2S, 0, ^rd0, ^end)", "aie.end\n^lost:\n%1 = aie.dma_start(MM2S, 0, ^rd0, ^end)")], ["tile (0, 1)", "DMA program", "needs 2", "limit 1"]),
    "bd_id_beyond_the_tile": ([("{bd_id = 3 : i32, next_bd_id = 2 : i32}", "{bd_id = 48 : i32, next_bd_id = 2 : i32}")], ["tile (0, 1)", "BD id of MM2S 0", "48", "limit 0-23"]),
    "bd_id_of_the_other_parity": ([("{bd_id = 3 : i32, next_bd_id = 2 : i32}", "{bd_id = 24 : i32, next_bd_id = 2 : i32}")], ["tile (0, 1)", "BD id of MM2S 0", "24", "limit 0-23"]),
    "bd_id_twice": ([("{bd_id = 3 : i32, next_bd_id = 2 : i32}", "{bd_id = 1 : i32, next_bd_id = 2 : i32}")], ["tile (0, 1)", "BD 1", "needs 2", "limit 1"]),
    "bd_without_id": ([("{bd_id = 3 : i32, next_bd_id = 2 : i32}", "{next_bd_id = 2 : i32}")], ["tile (0, 1)", "BD id of MM2S 0", "0-23"]),
    "next_bd_id_of_another": ([("{bd_id = 3 : i32, next_bd_id = 2 : i32}", "{bd_id = 3 : i32, next_bd_id = 0 : i32}")], ["tile (0, 1)", "BD 3 of MM2S 0", "needs 0", "limit 2"]),
    "chain_points_nowhere": ([("aie.next_bd ^rd1", "aie.next_bd ^next")], ["tile (0, 1)", "BD chain of MM2S 0", "points nowhere"]),
    "chain_without_bds": ([("%1 = aie.dma_start(MM2S, 0, ^rd0, ^end)", "%1 = aie.dma_start(MM2S, 0, ^end, ^end)")], ["tile (0, 1)", "BD chain of MM2S 0", "no BD"]),
    "repeats": ([("(MM2S, 0, ^rd0, ^end)", "(MM2S, 0, ^rd0, ^end, repeat_count = 256)"), ("aie.next_bd ^rd0", "aie.next_bd ^end")], ["tile (0, 1)", "repeats of MM2S 0", "257", "limit 256"]),
    "memory_of_another_tile": ([("aie.dma_bd(%out_a : memref<128xbf16>", "aie.dma_bd(%l2_a : memref<16x8xbf16>")], ["tile (0, 2)", "memory reach of BD 2 of MM2S 0", "l2_a"]),
    # BDs
    "dimensions_of_a_core": ([l1_read("0, 128, [<size = 2, stride = 64>, <size = 2, stride = 32>, <size = 2, stride = 16>, <size = 16, stride = 1>]")], ["tile (0, 2)", "dimensions of BD 2 of MM2S 0", "needs 4", "limit 3"]),
    "dimensions_of_a_memtile": ([l2_read("[<size = 2, stride = 64>, <size = 2, stride = 32>, <size = 2, stride = 16>, <size = 2, stride = 8>, <size = 8, stride = 1>]")], ["tile (0, 1)", "dimensions of BD 2 of MM2S 0", "needs 5", "limit 4"]),
    "wrap_of_a_core": ([(OUT_A, '{sym_name = "out_a", address = 32768 : i32} : memref<1024xbf16>'), ("(%out_a : memref<128xbf16>, 0, 128)", "(%out_a : memref<1024xbf16>, 0, 1024, [<size = 2, stride = 512>, <size = 512, stride = 1>])"), ("func.call @scale_bf16(%in_a, %out_a)", "func.call @scale_bf16(%in_a, %in_a)")], ["tile (0, 2)", "size of D0 of BD 2 of MM2S 0", "256", "limit 255"]),
    "wrap_of_a_memtile": (big("l2_a", "8192xbf16", 4096, "[<size = 2, stride = 4096>, <size = 1024, stride = 4>, <size = 2, stride = 1>]"), ["tile (0, 1)", "size of D1 of BD 2 of MM2S 0", "1024", "limit 1023"]),
    "step_of_a_core": ([l1_read("0, 4, [<size = 2, stride = 16386>, <size = 2, stride = 1>]")], ["tile (0, 2)", "stride of D1 of BD 2 of MM2S 0", "8193", "limit 8192"]),
    "step_of_a_memtile": ([l2_read("[<size = 2, stride = 262146>, <size = 2, stride = 1>]", 4)], ["tile (0, 1)", "stride of D1 of BD 2 of MM2S 0", "131073", "limit 131072"]),
    "stride_0": ([l2_read("[<size = 2, stride = 8>, <size = 16, stride = 0>, <size = 4, stride = 1>]")], ["tile (0, 1)", "stride of D1", "needs 0", "outermost repeat"]),
    "innermost_stride": ([l2_read("[<size = 16, stride = 8>, <size = 4, stride = 2>]", 64)], ["tile (0, 1)", "stride of D0", "needs 2", "limit 1"]),
    "granule_of_the_run": ([l2_read("[<size = 64, stride = 2>, <size = 1, stride = 1>]", 64)], ["tile (0, 1)", "stride of D0", "needs 2", "limit 1", "innermost stride"]),
    "granule_of_a_stride": ([l2_read("[<size = 8, stride = 3>, <size = 4, stride = 1>]", 32)], ["tile (0, 1)", "granule of D1", "needs 6", "limit 4"]),
    "granule_of_the_length": ([l1_read("0, 127")], ["tile (0, 2)", "granule of BD 2 of MM2S 0", "254", "limit 4"]),
    "granule_of_the_offset": ([l1_read("1, 126")], ["tile (0, 2)", "granule of BD 2 of MM2S 0", "32770", "limit 4"]),
    "length_bits": ([(OUT_A, '{sym_name = "out_a", address = 0 : i32} : memref<32768xbf16>'), ("(%out_a : memref<128xbf16>, 0, 128)", "(%out_a : memref<32768xbf16>, 0, 32768)"), ("func.call @scale_bf16(%in_a, %out_a)", "func.call @scale_bf16(%in_a, %in_a)")], ["tile (0, 2)", "length of BD 2 of MM2S 0", "16384", "limit 16383"]),
    "empty_transfer": ([l1_read("0, 0")], ["tile (0, 2)", "length of BD 2 of MM2S 0", "needs 0", "limit 1"]),
    "length_beyond_the_buffer": ([l1_read("2, 128")], ["tile (0, 2)", "elements of BD 2 of MM2S 0", "130", "limit 128"]),
    "pattern_beyond_the_buffer": ([l2_read("[<size = 2, stride = 8>, <size = 16, stride = 8>, <size = 4, stride = 1>]")], ["tile (0, 1)", "elements of BD 2 of MM2S 0", "132", "limit 128"]),
    "product_is_not_the_length": ([l2_read(L2_DIMS, 96)], ["tile (0, 1)", "length of BD 2 of MM2S 0", "128", "limit 96"]),
    "padding_on_a_core": ([l1_read("0, 136, [<size = 128, stride = 1>], [<const_pad_before = 4, const_pad_after = 4>]")], ["tile (0, 2)", "padding of BD 2", "limit 0", "memtile"]),
    "padding_bits": ([l2_read("[<size = 2, stride = 4>, <size = 8, stride = 8>, <size = 4, stride = 1>], [<const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 32, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 0>]", 320)], ["tile (0, 1)", "padding of D1", "32", "limit 31"]),
    "padding_granule": ([l2_read("[<size = 8, stride = 8>, <size = 4, stride = 1>], [<const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 1, const_pad_after = 1>]", 48)], ["tile (0, 1)", "padding of D0", "needs 2", "limit 4"]),
    "padding_pairs": ([l2_read("[<size = 16, stride = 8>, <size = 4, stride = 1>], [<const_pad_before = 0, const_pad_after = 2>]", 64)], ["tile (0, 1)", "padding of BD 2", "needs 1", "limit 2"]),
    # runtime sequence
    "arguments": ([("(%x : memref<32x16xbf16>, ", "(%a : memref<1xi32>, %b : memref<1xi32>, %e : memref<1xi32>, %f : memref<1xi32>, %x : memref<32x16xbf16>, ")], ["buffer arguments", "needs 6", "limit 5"]),
    "shim_bd_id": ([("{id = 1 : i64", "{id = 16 : i64")], ["tile (0, 0)", "BD id of @fill", "16", "limit 0-15"]),
    "metadata": ([("metadata = @fill", "metadata = @nothing")], ["symbol @nothing", "shim_dma_allocation"]),
    "shim_wrap": ([(MEMCPY, "%x[0, 0, 0, 0][1, 2, 2, 2048][0, 2, 4096, 1]"), (X_TYPE, "4x4096xbf16"), (X_TYPE, "4x4096xbf16")], ["tile (0, 0)", "size of D0 of BD 1 of @fill", "1024", "limit 1023"]),
    "shim_step": ([(MEMCPY, "%x[0, 0, 0, 0][1, 1, 2, 8][0, 0, 2097154, 1]"), (X_TYPE, "2x2097154xbf16"), (X_TYPE, "2x2097154xbf16")], ["tile (0, 0)", "stride of D1 of BD 1 of @fill", "1048577", "limit 1048576"]),
    "shim_stride_0": ([(MEMCPY, "%x[0, 0, 0, 0][2, 2, 16, 8][256, 0, 16, 1]")], ["tile (0, 0)", "stride of D2", "needs 0"]),
    "shim_iterations": ([(MEMCPY, "%x[0, 0, 0, 0][65, 1, 1, 4][4, 0, 0, 1]")], ["tile (0, 0)", "iterations of BD 1 of @fill", "65", "limit 64"]),
    "shim_repeats": ([(MEMCPY, "%x[0, 0, 0, 0][257, 1, 1, 4][0, 0, 0, 1]")], ["tile (0, 0)", "iterations of BD 1 of @fill", "257", "limit 64"]),
    "shim_granule_of_the_offset": ([(MEMCPY, "%x[0, 0, 0, 1][1, 1, 1, 4][0, 0, 0, 1]")], ["tile (0, 0)", "granule of BD 1 of @fill", "needs 2", "limit 4"]),
    "shim_granule_of_the_iteration": ([(MEMCPY, "%x[0, 0, 0, 0][2, 1, 1, 4][5, 0, 0, 1]")], ["tile (0, 0)", "granule of BD 1 of @fill", "needs 10", "limit 4"]),
    "shim_padding": ([("{id = 1 : i64, ", "{id = 1 : i64, d0_zero_before = 2 : i64, ")], ["tile (0, 0)", "padding of BD 1 of @fill", "limit 0"]),
    "parameter_index": ([("rtp_write(@rtp, 0, 2)", "rtp_write(@rtp, 4, 2)")], ["tile (0, 2)", "buffer rtp", "needs 4", "limit 3"]),
    "parameter_buffer": ([("rtp_write(@rtp, 0, 2)", "rtp_write(@nothing, 0, 2)")], ["symbol @nothing", "aie.buffer"]),
    "wait_symbol": ([("{symbol = @drain}", "{symbol = @nothing}")], ["symbol @nothing", "shim_dma_allocation"]),
    "wait_without_token": ([("{symbol = @drain}", "{symbol = @fill}")], ["tile (0, 0)", "token of @fill", "needs 1", "limit 0"]),
    "allocation_on_a_core": ([("@fill(%shim, MM2S, 0)", "@fill(%core, MM2S, 0)")], ["tile (0, 2)", "shim DMA", "core"]),
    "allocation_channel": ([("@fill(%shim, MM2S, 0)", "@fill(%shim, MM2S, 2)")], ["tile (0, 0)", "channel MM2S 2", "limit 1"]),
    "shim_burst_length": ([("{id = 1 : i64", "{burst_length = 512 : i64, id = 1 : i64")], ["tile (0, 0)", "burst length of BD 1 of @fill", "needs 512", "limit 64, 128, 256"]),
    "shim_wide_elements": ([(X_TYPE, "32x16xi64"), (X_TYPE, "32x16xi64")], ["tile (0, 0)", "element of BD 1 of @fill", "needs 8", "limit 4"]),
    "shim_constants_as_operands": ([("aiex.npu.dma_memcpy_nd(%x[0, 0, 0, 0][2, 2, 16, 8]", "%n = arith.constant 65 : i64\naiex.npu.dma_memcpy_nd(%x[0, 0, 0, 0][%n, 2, 1, 2]")], ["tile (0, 0)", "iterations of BD 1 of @fill", "65", "limit 64"]),
    "shim_short_lists": ([(MEMCPY, "%x[0, 1][1, 4][0, 1]")], ["tile (0, 0)", "granule of BD 1 of @fill", "needs 2", "limit 4"]),
    "queue_bd_id": ([then("aiex.npu.push_queue(0, 0, MM2S : 0) {bd_id = 16 : i32, issue_token = true, repeat_count = 0 : i32}")], ["tile (0, 0)", "BD id of aiex.npu.push_queue", "needs 16", "limit 0-15"]),
    "queue_bd_id_of_odd_channel": ([then("aiex.npu.push_queue(0, 1, MM2S : 1) {bd_id = 23 : i32, issue_token = true, repeat_count = 0 : i32}")], ["tile (0, 1)", "BD id of aiex.npu.push_queue", "needs 23", "limit 24-47"]),
    "queue_repeat": ([then("aiex.npu.push_queue(0, 0, MM2S : 0) {bd_id = 3 : i32, issue_token = true, repeat_count = 256 : i32}")], ["tile (0, 0)", "repeats of aiex.npu.push_queue", "needs 256", "limit 0-255"]),
    "queue_repeat_as_an_operand": ([then("%n = arith.constant 300 : i32\naiex.npu.push_queue(0, 0, MM2S : 0) bd_id %n repeat %n {issue_token = true} : i32, i32")], ["tile (0, 0)", "repeats of aiex.npu.push_queue", "needs 300"]),
    "queue_channel": ([then("aiex.npu.push_queue(0, 0, S2MM : 2) {bd_id = 3 : i32, issue_token = true, repeat_count = 0 : i32}")], ["tile (0, 0)", "channel of aiex.npu.push_queue", "needs 2", "limit 0-1"]),
    "queue_tile": ([then("aiex.npu.push_queue(1, 0, S2MM : 0) {bd_id = 3 : i32, issue_token = true, repeat_count = 0 : i32}")], ["tile of aiex.npu.push_queue", "(1, 0)", "npu1_1col has 1 columns"]),
    "sync_channel": ([then("aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 1 : i32, channel = 5 : i32, column_num = 1 : i32, row_num = 1 : i32}")], ["tile (0, 0)", "channel of aiex.npu.sync", "needs 5", "limit 0-1"]),
    "write_to_no_tile": ([then("aiex.npu.write32 {address = 0 : ui32, value = 1 : ui32, column = 0 : i32, row = 6 : i32}")], ["tile of aiex.npu.write32", "(0, 6)"]),
    "write_to_no_buffer": ([then("aiex.npu.maskwrite32 {address = 0 : ui32, value = 1 : ui32, mask = 1 : ui32, buffer = @nothing}")], ["symbol @nothing", "aie.buffer"]),
    "write_to_a_buffer_without_a_place": ([('{sym_name = "rtp", address = 1280 : i32}', '{sym_name = "rtp"}'), then("aiex.npu.write32 {address = 0 : ui32, value = 1 : ui32, buffer = @rtp}")], ["buffer rtp", "needs an address", "aiex.npu.write32 writes to it"]),
    "burst_length_of_a_core": ([("(%out_a : memref<128xbf16>, 0, 128) {bd_id", "(%out_a : memref<128xbf16>, 0, 128) {burst_length = 64 : i32, bd_id")], ["tile (0, 2)", "burst length of BD 2 of MM2S 0", "needs 64", "limit 0"]),
    "block_without_an_end": ([("aie.next_bd ^rd0\n    ^end", "cf.br ^rd0\n    ^end")], ["tile (0, 1)", "DMA program", "limit cf.br", "aie.next_bd or aie.end"]),
    "no_stack": ([("stack_size = 1024", "stack_size = 0")], ["tile (0, 2)", "stack", "needs 1", "limit 0"]),
    # streams
    "two_flows_into_one_port": ([("aie.flow(%mem, DMA : 0, %core, DMA : 0)", "aie.flow(%mem, DMA : 0, %core, DMA : 0)\naie.flow(%shim, DMA : 1, %core, DMA : 0)\naie.shim_dma_allocation @more(%shim, MM2S, 1)")], ["tile (0, 2)", "port DMA 0 of tile (0, 2)", "needs 2", "limit 1"]),
    "flow_from_a_channel_that_is_not": ([("aie.flow(%core, DMA : 0", "aie.flow(%core, DMA : 2")], ["tile (0, 2)", "channel MM2S 2", "limit 1"]),
    "flow_into_a_channel_that_is_not": ([("%core, DMA : 0)", "%core, DMA : 2)")], ["tile (0, 2)", "channel S2MM 2", "limit 1"]),
    "flow_from_an_idle_channel": ([("aie.flow(%core, DMA : 0", "aie.flow(%core, DMA : 1")], ["tile (0, 2)", "channel MM2S 1", "a program"]),
    "flow_into_an_idle_channel": ([("aie.shim_dma_allocation @drain(%shim, S2MM, 0)", "aie.shim_dma_allocation @drain(%shim, S2MM, 1)")], ["tile (0, 0)", "channel S2MM 0", "a program"]),
    "start_that_nothing_feeds": ([("aie.flow(%mem, DMA : 0, %core, DMA : 0)", "")], ["tile (0, 2)", "channel S2MM 0", "a flow", "no flow feeds it"]),
    "start_that_nothing_takes_from": ([("aie.flow(%mem, DMA : 0, %core, DMA : 0)", "")], ["tile (0, 1)", "channel MM2S 0", "a flow", "no flow takes from it"]),
    "start_fed_by_another_port": ([("%core, DMA : 0)", "%core, South : 0)")], ["tile (0, 2)", "channel S2MM 0", "no flow feeds it"]),
    "port_of_a_flow": ([("aie.flow(%core, DMA : 0, %shim, DMA : 0)", "aie.flow(%core, DMA : 0, %shim, South : 6)")], ["tile (0, 0)", "port South 6", "needs 7", "limit 6"]),
    "port_that_a_memtile_lacks": ([("aie.flow(%core, DMA : 0, %shim, DMA : 0)", "aie.flow(%core, DMA : 0, %shim, DMA : 0)\naie.flow(%shim, Trace : 0, %mem, Core : 0)")], ["tile (0, 1)", "port Core 0", "needs 1", "limit 0", "Core ports out of its switch"]),
}
# fmt: on


@pytest.mark.parametrize(("edits", "expected"), BROKEN.values(), ids=BROKEN)
def test_breach_is_told_with_tile_resource_and_limit(edits, expected):
    found = breaches(broken(*edits)).splitlines()
    assert any(all(part in line for part in expected) for line in found), found


@pytest.mark.parametrize(
    "name", ["sample.mlir", "sample.generic.mlir", "sample.lowered.generic.mlir"]
)
def test_sample_is_legal(name):
    assert breaches((DATA / name).read_text()) == ""


def test_a_buffer_of_a_run_may_be_larger_than_its_memref():
    assert (
        breaches(broken((MEMCPY, "%x[0, 0, 0, 8][2, 2, 16, 8][256, 8, 16, 1]"))) == ""
    )


def test_unplaced_design_may_leave_places_open():
    text = broken(
        (", address = 49152 : i32", ""),
        ("aie.lock(%core, 4)", "aie.lock(%core)"),
        ("{bd_id = 3 : i32, next_bd_id = 2 : i32}", "{next_bd_id = 2 : i32}"),
    )
    assert breaches(text, is_placed=False) == ""


def test_program_memory_counts_objects_and_operations():
    found = breaches(SAMPLE, program_bytes={"scale.o": 16384})
    assert "tile (0, 2): program memory" in found
    assert "limit 16384" in found
    assert breaches(SAMPLE, program_bytes={"scale.o": 8192}) == ""


def with_room(left: int, *edits: tuple[str, str]) -> str:
    """The sample with `left` bytes behind the last buffer of its core."""
    return broken(("address = 49152", f"address = {65536 - 256 - left}"), *edits)


@pytest.mark.parametrize(
    ("linked", "edits"),
    [
        ("link_with", []),
        ("link_files", [('link_with = "scale.o"', 'link_files = ["scale.o", "b.o"]')]),
        ("calls", [('{link_with = "scale.o", ', "{")]),
    ],
)
def test_a_core_with_kernels_needs_room_for_their_constants(linked, edits):
    assert breaches(with_room(1024, *edits)) == ""
    assert "needs 1024, limit 1020" in breaches(with_room(1020, *edits))


def test_a_core_of_its_own_loops_needs_room_for_the_runtime():
    lines = [line for line in SAMPLE.splitlines() if "func.call" in line]
    edits = [(line, "") for line in lines] + [('link_with = "scale.o", ', "")]
    assert breaches(with_room(64, *edits)) == ""
    assert "needs 64, limit 60" in breaches(with_room(60, *edits))


def test_known_sizes_of_objects_replace_the_estimate():
    known = {"scale.o": 2000}
    assert breaches(with_room(2064), data_bytes=known) == ""
    found = breaches(with_room(2060), data_bytes=known)
    assert "tile (0, 2): memory behind the buffers: needs 2064, limit 2060" in found
    assert breaches(with_room(100), data_bytes={"scale.o": 36}) == ""
    assert "needs 1024" in breaches(with_room(100), data_bytes={"other.o": 36})


def test_a_core_that_is_linked_already_needs_no_room():
    assert breaches(with_room(0, ('link_with = "scale.o"', 'elf_file = "a"'))) == ""


def test_the_room_is_that_of_the_core_itself():
    """Buffers of the core to the north lie in another memory."""
    north = """%north = aie.tile(0, 3)
    %far = aie.buffer(%north) {sym_name = "far", address = 65280 : i32} : memref<256xi8>
    %near = aie.buffer(%core) {sym_name = "near", address = 57344 : i32} : memref<4xi8>"""
    module = parse_module(broken((TILES, f"{TILES}\n{north}")))
    assert check_design(module) == []
    assert fullest_core(module) == ((0, 2), 65536 - 57348)


@pytest.mark.parametrize("name", ["npu1", "npu2"])
@pytest.mark.parametrize(
    ("tile", "out", "left"),
    [
        ((64, 64, 64), "float32", 8192),
        ((64, 64, 32), "bfloat16", 20480),
        ((64, 64, 64), "bfloat16", 0),
    ],
)
def test_the_room_is_what_linker_scripts_of_the_real_tools_say(
    tile, out, left, name, monkeypatch
):
    """Lengths that mlir-aie wrote for layouts that reserve nothing."""
    monkeypatch.setattr(memory, "CONSTANTS_BYTES", 0)
    module = gemm_design(GemmArray(name, *tile, out))
    assert fullest_core(module) == ((0, 2), left)
    found = [str(violation) for violation in check_design(module)]
    cores = device(name).num_columns * device(name).num_core_rows
    assert len(found) == (cores if left < 1024 else 0)
    assert all(
        "needs 1024, limit 0: .data and .rodata of gemm" in line for line in found
    )


def test_contiguous_shim_transfer_is_a_length_alone():
    whole = broken((MEMCPY, "%x[0, 0, 0, 0][1, 1, 32, 16384][0, 0, 16384, 1]"))
    assert breaches(whole.replace(X_TYPE, "32x16384xbf16")) == ""


def test_memtile_channels_reach_the_memtile_beside_them():
    text = broken(
        ("npu1_1col", "npu1_2col"),
        (TILES, TILES + "\n%mem1 = aie.tile(1, 1)"),
        ('aie.buffer(%mem) {sym_name = "l2_b"', 'aie.buffer(%mem1) {sym_name = "l2_b"'),
    )
    assert breaches(text) == ""
    found = breaches(text.replace("DMA : 0, %core", "DMA : 4, %core").replace(
        "%1 = aie.dma_start(MM2S, 0, ^rd0, ^end)", "%1 = aie.dma_start(MM2S, 4, ^rd0, ^end)", 1
    ))  # fmt: skip
    assert "tile (0, 1): memory reach of BD 3 of MM2S 4" in found


def test_every_breach_is_told():
    text = broken(("init = 2", "init = 64"), ("address = 49152", "address = 65408"))
    assert len(breaches(text).splitlines()) == 2


def test_packets_feed_a_channel_too():
    flow = "aie.flow(%mem, DMA : 0, %core, DMA : 0)"
    packets = """aie.packet_flow(1) {
      aie.packet_source<%mem, DMA : 0>
      aie.packet_dest<%core, DMA : 0>
    }"""
    assert breaches(broken((flow, packets))) == ""


def test_module_without_a_device_is_no_design():
    assert "aie.device" in breaches("module {}")
