"""Operations built in Python, printed, parsed and verified."""

import pytest
from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import MemRefType, ModuleOp, bf16, i32
from xdsl.ir import Block, Region

from xdna.check.whole_design import check_design
from xdna.dialect.aie import (
    BufferOp,
    CoreOp,
    DeviceOp,
    DmaBdOp,
    DmaStartOp,
    EndOp,
    FlowOp,
    LockOp,
    MemOp,
    NextBdOp,
    PacketDestOp,
    PacketFlowOp,
    PacketSourceOp,
    RuntimeSequenceOp,
    ShimDmaAllocationOp,
    TileOp,
    UseLockOp,
)
from xdna.dialect.aiex import (
    NpuDmaMemcpyNdOp,
    NpuDmaWaitOp,
    NpuRtpWriteOp,
    SetLockOp,
)
from xdna.dialect.text import parse_module, print_module


def built() -> ModuleOp:
    """A core's buffer to DDR, packets from a controller, and one run."""
    buffer_type = MemRefType(bf16, [64])
    body = Region(Block())
    with ImplicitBuilder(body.block):
        shim, core = TileOp(0, 0), TileOp(0, 2)
        buffer = BufferOp(core, buffer_type, "out", 1024)
        BufferOp(core, MemRefType(i32, [4]), "rtp", 2048)
        full, free = LockOp(core, 0, 0, "full"), LockOp(core, 1, 1, "free")
        FlowOp(core, 0, shim, 0)
        ShimDmaAllocationOp("drain", shim, "S2MM", 0)
        entry, bd, end = Block(), Block(), Block()
        with ImplicitBuilder(entry):
            DmaStartOp("MM2S", 0, bd, end, repeat_count=1)
        with ImplicitBuilder(bd):
            UseLockOp(full, "AcquireGreaterEqual", 1)
            dims = [(2, 32), (32, 1)]
            DmaBdOp(buffer, 0, 64, dims, bd_id=0, packet=(0, 3))
            UseLockOp(free, "Release", 1)
            NextBdOp(end)
        with ImplicitBuilder(end):
            EndOp()
        MemOp(core, Region([entry, bd, end]))
        program = Block()
        with ImplicitBuilder(program):
            UseLockOp(full, "Release", 1)
            EndOp()
        CoreOp(core, Region(program), link_with="k.o", stack_size=512)
        ports = Block()
        with ImplicitBuilder(ports):
            PacketSourceOp(shim, "TileControl", 0)
            PacketDestOp(shim, "South", 0)
        PacketFlowOp(15, Region(ports))
        run = Block(arg_types=[buffer_type])
        with ImplicitBuilder(run):
            NpuDmaMemcpyNdOp(
                run.args[0], "drain", 0, (1, 1, 1, 64), (0, 0, 0, 1), issue_token=True
            )
            NpuRtpWriteOp("rtp", 3, 7)
            SetLockOp(full, 1)
            NpuDmaWaitOp("drain")
        RuntimeSequenceOp(Region(run), "run")
    return ModuleOp([DeviceOp("npu1", body, "built")])


@pytest.mark.parametrize("generic", [False, True])
def test_built_design_is_legal_and_comes_back(generic):
    module = built()
    module.verify()
    assert not check_design(module)
    text = print_module(module, generic=generic)
    assert module.is_structurally_equivalent(parse_module(text))


def test_built_design_reads_like_the_sample():
    text = print_module(built())
    assert text.startswith("module {\n  aie.device(npu1) @built {\n")
    for line in (
        "%tile_0_2 = aie.tile(0, 2)",
        '%out = aie.buffer(%tile_0_2) {address = 1024 : i32, sym_name = "out"}'
        " : memref<64xbf16>",
        "= aie.dma_start(MM2S, 0, ^bb1, ^bb2, repeat_count = 1)",
        "aie.dma_bd(%out : memref<64xbf16>, 0, 64, [<size = 2, stride = 32>,"
        " <size = 32, stride = 1>]) {bd_id = 0 : i32,"
        " packet = #aie.packet_info<pkt_type = 0, pkt_id = 3>}",
        '} {link_with = "k.o", stack_size = 512 : i32}',
        "aie.packet_source<%tile_0_0, TileControl : 0>",
        "aie.runtime_sequence @run(",
        "aiex.npu.rtp_write(@rtp, 3, 7)",
    ):
        assert line in text


# Written as mlir-aie 1.3's own tests write them.
OPERATIONS = """
%t = aie.tile(0, 1)
%b = aie.buffer(%t) {sym_name = "b"} : memref<256xi32>
%l = aie.lock(%t, 3) {init = 1 : i32}
%n = aie.lock(%t)
"memref.global"() <{sym_name = "words", sym_visibility = "private", type = memref<2xi32>, initial_value = dense<[1, 2]> : tensor<2xi32>, constant}> : () -> ()
aie.packet_flow(3) {
  aie.packet_source<%t, DMA : 0>
  aie.packet_dest<%t, DMA : 1>
} {keep_pkt_header = true}
%m = aie.memtile_dma(%t) {
  %0 = aie.dma_start(MM2S, 1, ^bd, ^end)
^bd:
  aie.use_lock(%l, AcquireGreaterEqual)
  aie.dma_bd(%b : memref<256xi32>)
  aie.next_bd ^pad
^pad:
  aie.dma_bd(%b : memref<256xi32>, 0, 512, [<size = 64, stride = 4>, <size = 4, stride = 1>], [<const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 4>], pad_value = 7) {bd_id = 24 : i32}
  aie.next_bd ^end
^end:
  aie.end
}
aie.runtime_sequence @all(%x : memref<8x8xi32>, %i : i64) {
  aiex.npu.dma_memcpy_nd(%x[0, 0, 0, %i][1, 1, %i, 8][0, 0, 8, 1], packet = <pkt_type = 0, pkt_id = 2>) {id = 0 : i64, metadata = @of} : memref<8x8xi32>
  aiex.npu.write32 {address = 212992 : ui32, column = 0 : i32, row = 2 : i32, value = 31232 : ui32}
  aiex.npu.maskwrite32 {address = 119296 : ui32, mask = 7936 : ui32, value = 3840 : ui32}
  %w = memref.get_global @words : memref<2xi32>
  aiex.npu.blockwrite(%w) {address = 118784 : ui32} : memref<2xi32>
  aiex.npu.address_patch {addr = 118788 : ui32, arg_idx = 1 : i32, arg_plus = 0 : i32}
  aiex.npu.push_queue(0, 0, S2MM : 1) {bd_id = 3 : i32, issue_token = true, repeat_count = 0 : i32}
  aiex.npu.sync {channel = 0 : i32, column = 0 : i32, column_num = 1 : i32, direction = 0 : i32, row = 0 : i32, row_num = 1 : i32}
}
"""  # noqa: E501


def in_device(text: str) -> str:
    return f"aie.device(npu1) {{\n{text}\n}}"


@pytest.mark.parametrize("generic", [False, True])
def test_operations_beyond_the_sample_come_back(generic):
    module = parse_module(in_device(OPERATIONS))
    text = print_module(module, generic=generic)
    assert module.is_structurally_equivalent(parse_module(text))


CORE = """
%tile_0_2 = aie.tile(0, 2)
%b = aie.buffer(%tile_0_2) : memref<8x4xf32>
func.func private @f(memref<8x4xf32>, index) -> i32
%c = aie.core(%tile_0_2) {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %c1 = arith.constant 1 : index
  %true = arith.constant true
  %sum, %flag = scf.for %i = %c0 to %c8 step %c1 iter_args(%s = %c0, %p = %true) -> (index, i1) {
    %next = arith.addi %s, %i : index
    %q = scf.if %p -> (i1) {
      %r = func.call @f(%b, %i) : (memref<8x4xf32>, index) -> i32
      %z = arith.constant 0 : i32
      %e = arith.cmpi eq, %r, %z : i32
      scf.yield %e : i1
    } else {
      scf.yield %p : i1
    }
    scf.if %q {
      %v = memref.load %b[%i, %c0] : memref<8x4xf32>
      memref.store %v, %b[%i, %c1] : memref<8x4xf32>
    }
    scf.yield %next, %q : index, i1
  }
  aie.end
}
"""  # noqa: E501


def test_core_programs_print_as_standard_mlir():
    module = parse_module(in_device(CORE))
    text = print_module(module)
    assert module.is_structurally_equivalent(parse_module(text))
    lines = [line.strip() for line in text.splitlines()]
    for line in CORE.strip().splitlines()[3:]:
        assert line.strip() in lines


def test_names_never_clash():
    text = "\n".join(f"%a_{i}_{j} = aie.lock(%t)" for i in range(2) for j in range(2))
    module = parse_module(in_device(f"%t = aie.tile(0, 2)\n%a = aie.lock(%t)\n{text}"))
    assert module.is_structurally_equivalent(parse_module(print_module(module)))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("aie.tile(0 0)", 2, "Expected ','"),
        ("aie.tile(-1, 0)", 2, "col must not be negative"),
        ("aie.nothing", 2, "aie.nothing"),
        ("%t = aie.tile(0, 0)\naie.use_lock(%t, Grab, 1)", 3, "one of Acquire"),
        ('%t = aie.tile(0, 0)\n"aie.use_lock"(%t) <{action = 7 : i32}> : (index) -> ()',
         3, "AcquireGreaterEqual"),
        ("%t = aie.tile(0, 0)\naie.shim_dma_allocation @a(%t, S3MM, 0)", 3, "S2MM"),
        ("%t = aie.tile(0, 0)\naie.flow(%t, DNA : 0, %t, DMA : 0)", 3, "DMA"),
        ('"aie.tile"() <{col = 0 : i64, row = 0 : i32}> : () -> index', 2, "i32"),
        ('"aie.tile"() <{col = 0 : i32}> : () -> index', 2, "row"),
        ("%t = aie.tile(0, 2)\n%b = aie.buffer(%t) : index", 3, "memref"),
        ("%t = aie.tile(0, 2)\n%b = aie.buffer(%t) : memref<?xi32>", 3, "static"),
        ("aie.lock(%nowhere, 0)", 3, "nowhere"),
        ("%t = aie.tile(0, 0)\n%t = aie.tile(0, 1)", 3, "already defined"),
        ("%t = aie.tile(0, 2)\n%d = aie.mem(%t) {\naie.next_bd ^away\n}", 6, "away"),
        ("%l = aie.lock(%t, 0)\n%t = aie.tile(0, 2)", 2, "not defined here"),
        ("%t = aie.tile(0, 2) {a = #aie.packet_info<pkt_type = 9, pkt_id = 0>}", 2,
         "3 bits"),
        ("aie.runtime_sequence() {\naiex.npu.dma_wait {symbol = 3 : i32}\n}", 3,
         "SymbolRef"),
    ],
)  # fmt: skip
def test_malformed_text_is_one_line_with_its_place(text, line, what):
    with pytest.raises(ValueError, match=rf"^<input>:{line}:\d+: [^\n]*{what}[^\n]*$"):
        parse_module(in_device(text))


def test_unknown_device_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match=r"^<input>:1:12: device must be .*npu2.*xcvc"):
        parse_module("aie.device(xcvc1902) {}")
    with pytest.raises(ValueError, match=r"expected one of .*npu1"):
        parse_module(
            '"aie.device"() <{device = 99 : i32}> ({"aie.end"() : () -> ()}) : () -> ()'
        )
