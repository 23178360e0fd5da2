"""Designs as compilers write them: what is read, what is left out, what is refused."""

import re

import numpy as np
import pytest

from xdna.dialect.text import parse_module, print_module
from xdna.load.configuration import configuration
from xdna.load.design_text import read_design

from .configuration_text import SAMPLE, bds_of, words_of

# One design in two forms. RING and ONCE stand for the DMA program.
RELAY = """
module attributes {any.note = "of a tool"} {
  memref.global "public" @fill_cons : memref<16xi32>
  aie.device(npu1_2col) @relay {
    %t = aie.tile(0, 1) {other.note = 7 : i32}
    BEFORE
    %m = aie.memtile_dma(%t) {
      WITHIN
      PROGRAM
    }
    aie.trace @of_core(%t) {
      aie.trace.mode "Event-Time"
    }
    aie.runtime_sequence @go(%a: memref<16xi32>,
                             %b: memref<16xi32>) {
      strange.operation %a, { "}" } ( [ // not the end: )]}
      ] )
      %x = other.thing(%b) ({
      })
    }
  }
}
"""
DECLARED = """%a = aie.buffer(%t) {address = 256 : i32, sym_name = "a"} : memref<16xi32>
    %l = aie.lock(%t, 3) {init = 1 : i32, sym_name = "l"}"""
STARTED = """%0 = aie.dma_start(S2MM, 0, ^take, ^more)
    ^take:
      aie.use_lock(%l, AcquireGreaterEqual, 1)
      aie.dma_bd(%a : memref<16xi32>, 0, 8) {bd_id = 0 : i32}
      aie.next_bd ^second
    ^second:
      aie.dma_bd(%a : memref<16xi32>, 8, 8) {bd_id = 1 : i32}
      aie.next_bd ^take
    ^more:
      %1 = aie.dma_start(MM2S, 2, ^give, ^end, repeat_count = 4)
    ^give:
      aie.dma_bd(%a : memref<16xi32>, 4, 2) {bd_id = 2 : i32}
      aie.use_lock(%l, Release, 1)
      aie.next_bd ^end
    ^end:
      aie.end"""
LISTED = """%0 = aie.dma(S2MM, 0) [{
        aie.use_lock(%l, AcquireGreaterEqual, 1)
        aie.dma_bd(%a : memref<16xi32>, 0, 8) {bd_id = 0 : i32}
      }, {
        aie.dma_bd(%a : memref<16xi32>, 8, 8) {bd_id = 1 : i32}
      }]
      %1 = aie.dma(MM2S, 2) {loop = false, repeat_count = 4 : i32} [{
        aie.dma_bd(%a : memref<16xi32>, 4, 2) {bd_id = 2 : i32}
        aie.use_lock(%l, Release, 1)
      }]
      aie.end"""


def relay(program=STARTED, before=DECLARED, within=""):
    text = RELAY.replace("BEFORE", before).replace("WITHIN", within)
    return text.replace("PROGRAM", program)


@pytest.mark.parametrize("is_generic", [False, True])
@pytest.mark.parametrize("is_within", [False, True])
@pytest.mark.parametrize("program", [STARTED, LISTED])
def test_one_design_in_all_its_forms_is_one_configuration(
    program, is_within, is_generic
):
    places = {"before": "", "within": DECLARED} if is_within else {}
    module = read_design(relay(program, **places))
    if is_generic:
        module = read_design(print_module(module, generic=True))
    text = configuration(module)
    assert text == configuration(read_design(relay()))
    assert words_of(text, "start") == [[0, 1, 0, 0, 0, 1], [0, 1, 1, 2, 2, 5]]
    assert [(bd.id, bd.next, bd.acquire, bd.release) for bd in bds_of(text)] == [
        (0, 1, (0, 1), (-1, 0)),
        (1, 0, (-1, 0), (-1, 0)),
        (2, -1, (-1, 0), (0, 1)),
    ]


@pytest.mark.parametrize("is_generic", [False, True])
def test_what_the_array_does_not_need_is_not_read(is_generic):
    whole = parse_module(SAMPLE)
    text = print_module(whole, generic=is_generic)
    edited = re.sub(r'(aiex.npu.rtp_write"?)', r"what [is] (this) \1 ", text, count=1)
    assert edited != text
    with pytest.raises(ValueError, match=r"is not known|xpected"):
        parse_module(edited)
    assert configuration(read_design(edited)) == configuration(whole)


def test_errors_keep_their_line_and_column():
    text = relay().replace("%l = aie.lock(%t, 3)", "%l = aie.lock(%t, 3) ;")
    line = 1 + text[: text.index("aie.lock(%t, 3) ;")].count("\n")
    with pytest.raises(ValueError, match=rf"^relay.mlir:{line}:26: "):
        read_design(text, "relay.mlir")


SEVERAL = """
aie.device(npu1_1col) @empty {
}
aie.device(npu2) @first {
  %t = aie.tile(0, 2)
  %u = unknown.thing %t
}
"aie.device"() <{device = 5 : i32, sym_name = "second"}> ({
  %t = "aie.tile"() <{col = 0 : i32, row = 3 : i32}> : () -> index
  "aie.end"() : () -> ()
}) : () -> ()
"""


def test_one_of_several_designs_is_read():
    assert "(0, 3)" in print_module(read_design(SEVERAL, design="second"))
    assert "tile" not in print_module(read_design(SEVERAL, design="empty"))
    alone = SEVERAL[: SEVERAL.index("aie.device(npu2)")] + relay()
    assert configuration(read_design(alone)) == configuration(read_design(relay()))
    with pytest.raises(
        ValueError, match=r"3 designs: empty, first, second; .*--design"
    ):
        read_design(SEVERAL)
    with pytest.raises(
        ValueError, match="no design third; it has empty, first, second"
    ):
        read_design(SEVERAL, design="third")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "%s = aie.switchbox(%t) {\naie.connect<DMA : 0, North : 1>\n}",
            ["routed", "input_with_addresses.mlir", "--get-input-with-addresses"],
        ),
        ("aie.objectfifo @f(%t, {%u}, 2 : i32) : !aie.objectfifo<T>", ["not lowered"]),
        ("%c = aie.external_buffer : memref<4xi32>", ["argument", "sequence"]),
        ("%c = aie.frobnicate(%t)", ["aie.frobnicate", "not known"]),
    ],
)  # fmt: skip
def test_a_design_of_another_stage_is_refused_in_one_line(line, words):
    with pytest.raises(ValueError, match=r"^x.mlir:8[^\n]*$") as error:
        read_design(relay(before=f"{DECLARED}\n{line}"), "x.mlir")
    for word in words:
        assert word in str(error.value)


IGNORED = {
    "attributes": (
        "%t = aie.tile(0, 1) {other.note = 7 : i32}",
        '%t = aie.tile(0, 1) {note = #some.tool<1, [2]>, kind = !some.type<"x">}',
    ),
    "a module's": (
        'any.note = "of a tool"',
        "dlti.spec = #dlti.spec<i1 = 8 : i32>",
    ),
    "functions that nobody calls": (
        "aie.device(npu1_2col) @relay {",
        "aie.device(npu1_2col) @relay {\nfunc.func @idle(%t : f32) {\nany.op %t {}\n}",
    ),
    "banks": ("%a = aie.buffer(%t) {", "%a = aie.buffer(%t) {mem_bank = 99 : i32, "),
}


@pytest.mark.parametrize("what", IGNORED)
def test_what_changes_nothing_is_ignored(what):
    old, new = IGNORED[what]
    assert old in relay()
    edited = relay().replace(old, new)
    assert configuration(read_design(edited)) == configuration(read_design(relay()))


def test_values_of_a_function_may_have_the_names_of_those_around_it():
    before = f"""{DECLARED}
    func.func private @g(i32)
    func.func @f(%t : i32) {{
      call @g(%t) : (i32) -> ()
      return
    }}
    %u = aie.tile(0, 2)
    %c = aie.core(%u) {{
      %n = arith.constant 5 : i32
      func.call @f(%n) : (i32) -> ()
      aie.end
    }}"""
    text = configuration(read_design(relay(before=before)))
    ((constant, five),) = words_of(text, "const")
    ((argument, source),) = words_of(text, "move")
    assert (five, source) == (5, constant)
    assert words_of(text, "call") == [[0, 1, "s", argument]]


INITIAL = {
    "i32": ("i32", "[[1, -2], [3, 4]]", np.array([1, -2, 3, 4], "<i4")),
    "i8": ("i8", "[[1, -2], [3, 4]]", np.array([1, -2, 3, 4], "i1")),
    "f32": ("f32", "1.5", np.full(4, 1.5, "<f4")),
    "bf16": ("bf16", "-2.5", np.full(4, 0xC020, "<u2")),
    "hex": ("i16", '"0x0100020003000400"', np.array([1, 2, 3, 4], "<i2")),
}


@pytest.mark.parametrize("form", ["pretty", "attribute", "generic"])
@pytest.mark.parametrize("name", INITIAL)
def test_initial_values_become_bytes(name, form):
    element, values, expected = INITIAL[name]
    type = f"memref<2x2x{element}>"
    attributes = "address = 0 : i32"
    tail = f" = dense<{values}>"
    if form == "attribute":
        attributes += f", initial_value = dense<{values}> : tensor<2x2x{element}>"
        tail = ""
    buffer = f"%b = aie.buffer(%t) {{{attributes}}} : {type}{tail}"
    text = relay(before=f"{DECLARED}\n    {buffer}")
    if form == "generic":
        text = print_module(read_design(text), generic=True)
    lines = configuration(read_design(text)).splitlines()
    assert f"data 1 {expected.tobytes().hex()}" in lines
    printed = print_module(read_design(text))
    assert configuration(read_design(printed)) == configuration(read_design(text))


def bd_of(dims, length, element="bf16", extra=""):
    layout = ", ".join(f"<size = {n}, stride = {step}>" for n, step in dims)
    buffer = f"%w = aie.buffer(%t) {{address = 512 : i32}} : memref<256x{element}>"
    bd = f"aie.dma_bd(%w : memref<256x{element}>, 0, {length}, [{layout}]{extra})"
    program = f"""%0 = aie.dma(MM2S, 0) [{{
        {bd} {{bd_id = 0 : i32}}
      }}]
      aie.end"""
    before = f"{DECLARED}\n    {buffer}"
    (bd,) = bds_of(configuration(read_design(relay(program, before))))
    return bd


def test_dimensions_that_are_never_stepped_in_have_no_granule():
    bd = bd_of([(4, 16), (1, 3), (8, 1), (1, 1)], 32)
    assert bd.dims == [(4, 8), (4, 1)]
    pads = ", ".join(
        f"<const_pad_before = {n}, const_pad_after = 0>" for n in (0, 2, 0)
    )
    bd = bd_of([(1, 3), (1, 6), (8, 1)], 24, extra=f", [{pads}]")
    assert (bd.dims, bd.pads) == ([(1, 3), (4, 1)], [(2, 0), (0, 0)])


def test_the_length_ends_a_walk():
    assert bd_of([(4, 64), (3, 16), (2, 1)], 12).dims == [(2, 32), (3, 8), (1, 1)]
    assert bd_of([(4, 64), (3, 16), (4, 1)], 8).dims == [(2, 8), (2, 1)]
    # The fourth dimension of a memtile has no wrap.
    dims = [(2, 64), (2, 32), (2, 16), (2, 1)]
    assert bd_of(dims, 24).dims == [(3, 32), (2, 16), (2, 8), (1, 1)]
    for dims, length in (([(2, 64), (2, 1)], 8), ([(4, 64), (3, 16), (4, 1)], 20)):
        with pytest.raises(ValueError, match="product of the sizes"):
            bd_of(dims, length)
