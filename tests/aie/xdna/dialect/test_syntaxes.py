"""Designs of ours as mlir-aie 1.3.4 and 1.4 print and lower them, read and printed."""

import itertools
import lzma
import pathlib
import random
import re

import pytest
from xdsl.builder import ImplicitBuilder
from xdsl.dialects.builtin import MemRefType, ModuleOp, i32
from xdsl.ir import Block, Region

from xdna.dialect.aie import (
    BufferOp,
    DeviceOp,
    DmaBdOp,
    DmaStartOp,
    EndOp,
    LockOp,
    MemTileDmaOp,
    NextBdOp,
    TileOp,
    UseLockOp,
)
from xdna.dialect.text import parse_module, print_module
from xdna.load.configuration import configuration
from xdna.releases import SYNTAXES

DATA = pathlib.Path(__file__).parents[1] / "data"
HANDED = DATA / "mlir_aie"
SAMPLES = sorted(path.name for path in HANDED.glob("sample.*.mlir"))
GEMMS = sorted(path.name for path in HANDED.glob("gemm*.mlir.xz"))
NUM_SAMPLES, NUM_GEMMS = 6, 3


def read(name: str) -> ModuleOp:
    path = HANDED / name
    if name.endswith(".xz"):
        return parse_module(lzma.decompress(path.read_bytes()).decode(), name)
    return parse_module(path.read_text(), name)


def test_every_text_of_the_sample_is_the_same_configuration():
    expected = configuration(parse_module((DATA / "sample.mlir").read_text()))
    assert len(SAMPLES) == NUM_SAMPLES
    assert {configuration(read(name)) for name in SAMPLES} == {expected}


def test_every_text_of_the_gemm_is_the_same_configuration():
    assert len(GEMMS) == NUM_GEMMS
    assert len({configuration(read(name)) for name in GEMMS}) == 1


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("generic", [False, True])
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_comes_back_from_either_syntax(name, generic, syntax):
    module = read(name)
    before = print_module(module)
    text = print_module(module, generic, syntax)
    assert parse_module(text).is_structurally_equivalent(module)
    assert print_module(module) == before  # printing leaves the model alone


def test_sample_is_printed_as_aie_opt_1_4_prints_it(normalised):
    printed = print_module(read("sample.1.4.mlir"), generic=True, syntax="1.4")
    text = (HANDED / "sample.1.4.generic.mlir").read_text()
    # aie-opt sets `aligned` on every buffer, and a design need not
    expected = text.replace("aligned = true, ", "")
    assert normalised(printed) == normalised(expected)


def test_words_of_the_sample_are_the_same_in_both_releases():
    hexes = DATA / "sample.insts.hex", HANDED / "sample.1.4.insts.hex"
    ours, theirs = (path.read_text().split() for path in hexes)
    assert len(ours) == int(ours[3], 16) // 4
    assert ours == theirs


def test_random_bds_and_amounts_come_back_from_1_4():
    choose = random.Random(4).randrange
    body = Region(Block())
    with ImplicitBuilder(body.block):
        tile = TileOp(0, 1)
        buffer = BufferOp(tile, MemRefType(i32, [4096]), "b", 0)
        lock = LockOp(tile, 0, 0, "l")
        blocks = [Block() for _ in range(12)]
        with ImplicitBuilder(blocks[0]):
            DmaStartOp("MM2S", 0, blocks[1], blocks[-1])
        for id, (block, follower) in enumerate(itertools.pairwise(blocks[1:])):
            sizes = [choose(1, 9) for _ in range(choose(5))]
            dims = [(size, choose(1, 99)) for size in sizes] or None
            with ImplicitBuilder(block):
                UseLockOp(lock, "AcquireGreaterEqual", choose(-3, 60))
                DmaBdOp(buffer, choose(99), choose(1, 999), dims, bd_id=id)
                NextBdOp(follower)
        with ImplicitBuilder(blocks[-1]):
            EndOp()
        MemTileDmaOp(tile, Region(blocks))
    module = ModuleOp([DeviceOp("npu1", body)])
    for generic in False, True:
        text = print_module(module, generic, "1.4")
        assert parse_module(text).is_structurally_equivalent(module)


def in_memtile(lines: str) -> str:
    return f"""
    aie.device(npu1) {{
      %t = aie.tile(0, 1)
      %b = aie.buffer(%t) {{address = 0 : i32, sym_name = "b"}} : memref<256xi32>
      %l = aie.lock(%t, 0) {{init = 1 : i32}}
      %two = arith.constant 2 : i32
      %m = aie.memtile_dma(%t) {{
        %eight = arith.constant 8 : i64
        %0 = aie.dma_start(MM2S, 0, ^bd, ^end)
      ^bd:
        {lines}
        aie.next_bd ^bd
      ^end:
        aie.end
      }}
    }}"""


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("aie.use_lock(%l, Acquire, %two)", "aie.use_lock(%l, Acquire, 2)"),
        ("aie.use_lock(%l, Release, Blocking)", "aie.use_lock(%l, Release, Blocking)"),
        ("aie.dma_bd(%b : memref<256xi32>)", "aie.dma_bd(%b : memref<256xi32>)"),
        (
            "aie.dma_bd(%b : memref<256xi32> len = 64) {bd_id = 0 : i32}",
            "aie.dma_bd(%b : memref<256xi32>, 0, 64) {bd_id = 0 : i32}",
        ),
        (
            "aie.dma_bd(%b : memref<256xi32> offset = %two len = 64 sizes = [] "
            "strides = [])",
            "aie.dma_bd(%b : memref<256xi32>, 2, 64)",
        ),
        (
            "aie.dma_bd(%b : memref<256xi32> offset = 0 len = 32 sizes = [4, %eight] "
            "strides = [%eight, 1])",
            "aie.dma_bd(%b : memref<256xi32>, 0, 32, "
            "[<size = 4, stride = 8>, <size = 8, stride = 1>])",
        ),
        (
            "aie.dma_bd(%b : memref<256xi32> len = 64 sizes = [60] strides = [1] pad "
            "[<const_pad_before = 4, const_pad_after = 0>])",
            "aie.dma_bd(%b : memref<256xi32>, 0, 64, [<size = 60, stride = 1>], "
            "[<const_pad_before = 4, const_pad_after = 0>])",
        ),
    ],
)
def test_operands_and_keywords_of_1_4_are_the_model_s_numbers(new, old):
    modules = [parse_module(in_memtile(lines)) for lines in (new, old)]
    first, second = (
        [op for op in module.walk() if op.name in ("aie.use_lock", "aie.dma_bd")]
        for module in modules
    )
    assert first[0].properties == second[0].properties


def joined(text: str) -> str:
    """A flow to the shim for what a program of `in_memtile` sends."""
    flow = """%s = aie.tile(0, 0)
      aie.flow(%t, DMA : 0, %s, DMA : 0)
      aie.shim_dma_allocation @drain(%s, S2MM, 0)
      %m ="""
    return text.replace("%m =", flow)


def test_pads_of_a_channel_that_are_no_zeros_are_refused():
    bd = "aie.dma_bd(%b : memref<256xi32> len = 64) {bd_id = 0 : i32}"
    text = joined(in_memtile(bd).replace("^end)", "^end) {pad_value = 7 : i32}"))
    with pytest.raises(ValueError, match="pads must be zeros, got 7"):
        configuration(parse_module(text))
    configuration(parse_module(text.replace("pad_value = 7", "pad_value = 0")))


def test_an_attribute_that_changes_a_transfer_is_refused_by_name():
    bd = "aie.dma_bd(%b : memref<256xi32> len = 64) {bd_id = 0 : i32, NAME = 4 : i32}"
    text = joined(in_memtile(bd))
    with pytest.raises(ValueError, match="attribute iter_size is not supported"):
        configuration(parse_module(text.replace("NAME", "iter_size")))
    configuration(parse_module(text.replace("NAME", "colour")))


SEQUENCE = """
aie.device(npu1) {
  aie.runtime_sequence(%x : memref<64xi32>, %n : i32) {
    %c0 = arith.constant 0 : i32
    %c3 = arith.constant 3 : i32
    %big = arith.constant -2 : i32
    aiex.npu.write32(%c3, %big) {column = 1 : i32, row = 2 : i32} : i32, i32
    aiex.npu.maskwrite32(%c3, %c0, %big) : i32, i32, i32
    aiex.npu.address_patch(%c3 : i32) {addr = 118788 : ui32, arg_idx = 1 : i32}
    aiex.npu.push_queue(0, 0, S2MM : 1) bd_id %c3 repeat %c0 {issue_token = true} : i32, i32
    aiex.npu.sync(%c0, %c0, %c0, %c0, %c3, %c3) : i32, i32, i32, i32, i32, i32
    aiex.npu.rtp_write(@rtp, 3, %c3) : i32
    aiex.npu.rtp_write(@rtp, 4, %n) : i32
  }
}
"""  # noqa: E501
OLD_SEQUENCE = """
aie.device(npu1) {
  aie.runtime_sequence(%x : memref<64xi32>, %n : i32) {
    aiex.npu.write32 {address = 3 : ui32, value = 4294967294 : ui32, column = 1 : i32, row = 2 : i32}
    aiex.npu.maskwrite32 {address = 3 : ui32, value = 0 : ui32, mask = 4294967294 : ui32}
    aiex.npu.address_patch {addr = 118788 : ui32, arg_idx = 1 : i32, arg_plus = 3 : i32}
    aiex.npu.push_queue(0, 0, S2MM : 1) {bd_id = 3 : i32, repeat_count = 0 : i32, issue_token = true}
    aiex.npu.sync {column = 0 : i32, row = 0 : i32, direction = 0 : i32, channel = 0 : i32, column_num = 3 : i32, row_num = 3 : i32}
    aiex.npu.rtp_write(@rtp, 3, 3)
  }
}
"""  # noqa: E501


@pytest.mark.parametrize("generic", [False, True])
def test_instructions_of_1_4_are_those_of_1_3(generic):
    new, old = parse_module(SEQUENCE), parse_module(OLD_SEQUENCE)
    known, constants = ([op for op in m.walk() if "npu" in op.name] for m in (new, old))
    assert [op.properties for op in known[:-1]] == [op.properties for op in constants]
    assert len(known[-1].operands) == 1  # known at run time only
    text = print_module(new, generic, "1.4")
    assert parse_module(text).is_structurally_equivalent(new)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            '"aie.dma_bd"(%b) <{static_len = 64 : i32, dimensions = '
            "#aie<bd_dim_layout_array[<size = 64, stride = 1>]>}> : "
            "(memref<256xi32>) -> ()",
            "dimensions are of mlir-aie 1.3",
        ),
        (
            "aie.dma_bd(%b : memref<256xi32> len = 64 sizes = [2, 2] strides = [1])",
            "needs as many sizes as strides, got 2 sizes and 1 strides",
        ),
        (
            '"aie.dma_bd"(%b, %two) <{static_len = 64 : i32, operandSegmentSizes = '
            "array<i32: 1, 0, 0, 0, 0>}> : (memref<256xi32>, i32) -> ()",
            "count 2 operands, got [1, 0, 0, 0, 0]",
        ),
        (
            '"aie.dma_bd"(%b, %two) <{len = 64 : i32}> : (memref<256xi32>, i32) -> ()',
            "operands need operandSegmentSizes",
        ),
    ],
)
def test_bds_that_contradict_themselves_are_refused_in_one_line(lines, message):
    with pytest.raises(ValueError, match=f"^.*{re.escape(message)}.*$") as error:
        parse_module(in_memtile(lines))
    assert "\n" not in str(error.value)


def test_attributes_of_later_releases_are_kept():
    text = """
    aie.device(npu1) {
      %t = aie.tile(0, 2) {controller_id = #aie.packet_info<pkt_type = 0, pkt_id = 27>}
      %b = "aie.buffer"(%t) <{address = 0 : i32, aligned = true, colour = "red"}>
        : (index) -> memref<4xi32>
      %c = aie.core(%t) {
        aie.end
      } {link_files = ["one.o", "two.o"], stack_size = 512 : i32, mood = 3 : i32}
    }"""
    printed = print_module(parse_module(text))
    for part in 'colour = "red"', "aligned = true", "mood = 3", '"one.o", "two.o"':
        assert part in printed
    objects = [op.objects for op in parse_module(text).walk() if op.name == "aie.core"]
    assert objects == [["one.o", "two.o"]]


def test_locations_are_skipped_and_positions_stay():
    path = DATA / "sample.mlir"
    lines = path.read_text().splitlines()
    text = "\n".join(
        line + ' loc(fused[#loc1, callsite("a)" at unknown)])'
        if " = aie.tile" in line
        else line
        for line in lines
    )
    located = f'#loc = loc("x.mlir":1:2)\n{text} loc(#loc)\n#loc1 = loc(unknown)\n'
    assert parse_module(located).is_structurally_equivalent(
        parse_module(path.read_text())
    )
    with pytest.raises(ValueError, match=r"^<input>:2:19: "):
        parse_module("aie.device(npu1) {\n  %a loc(unknown) loc }")


def test_an_unknown_syntax_is_refused():
    module = parse_module("module {}")
    with pytest.raises(ValueError, match=r"must be that of mlir-aie 1\.3 or 1\.4, got"):
        print_module(module, syntax="1.5")
