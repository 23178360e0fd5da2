# ruff: noqa: E501  one case a line
"""Designs as configurations: the numbers in the text, and what a text cannot express."""

import dataclasses
import re

import pytest

from xdna import devices
from xdna.devices import DEVICES
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.timing import Timing, timing

from .configuration_text import DATA, SAMPLE, Bd, bds_of, edited, words_of


@pytest.mark.parametrize("name", ["sample.mlir", "sample.generic.mlir"])
def test_lowering_by_upstream_does_not_change_the_configuration(name):
    lowered = configuration(
        parse_module((DATA / "sample.lowered.generic.mlir").read_text())
    )
    assert configuration(parse_module((DATA / name).read_text())) == lowered


def test_the_sample_is_what_it_says():
    text = configuration(parse_module(SAMPLE))
    assert text.startswith("jax-npu-configuration 1\ndevice npu1_1col\nparam ")
    assert words_of(text, "buffer")[:3] == [
        [0, 1, 0, 256, "l2_a"],
        [0, 1, 65536, 256, "l2_b"],
        [0, 2, 1024, 256, "in_a"],
    ]
    assert words_of(text, "lock") == [
        [0, 1, 0, 2, "l2_free"],
        [0, 1, 1, 0, "l2_full"],
        [0, 2, 0, 2, "in_free"],
        [0, 2, 1, 0, "in_full"],
        [0, 2, 2, 2, "out_free"],
        [0, 2, 3, 0, "out_full"],
        [0, 2, 4, 0, "go"],
    ]
    bds = {(bd.tile, bd.id): bd for bd in bds_of(text)}
    assert len(bds) == 8
    dims = [(2, 2), (16, 4), (2, 1)]  # in words of two bf16
    assert bds[(0, 1), 3] == Bd(
        (0, 1), 3, (0, 1), 65536, 64, 2, (1, 1), (0, 1), dims, []
    )
    assert bds[(0, 2), 0] == Bd((0, 2), 0, (0, 2), 1024, 64, 1, (2, 1), (3, 1), [], [])
    starts = [
        [0, 1, 0, 0, 0, 1],
        [0, 1, 1, 0, 2, 1],
        [0, 2, 0, 0, 0, 1],
        [0, 2, 1, 0, 2, 1],
    ]
    assert sorted(words_of(text, "start")) == starts
    routes = [[0, 0, 0, 0, 1, 0, 2], [0, 1, 0, 0, 2, 0, 2], [0, 2, 0, 0, 0, 0, 3]]
    assert words_of(text, "route") == routes
    assert words_of(text, "type") == [["bf16", 1, 128]]
    assert words_of(text, "kernel") == [["scale_bf16", 2, 0, 0]]


@pytest.mark.parametrize("name", DEVICES)
def test_every_number_of_the_device_and_its_times_is_a_parameter(name):
    text = configuration(parse_module(f"aie.device({name}) {{\n}}"))
    given = {key: float(value) for key, value in words_of(text, "param")}
    device, times = DEVICES[name], timing(name)
    expected = {
        "num_columns": device.num_columns,
        "num_rows": 6,
        "generation": 4 if name.startswith("npu2") else 3,
        "burst_code": device.burst_code,
        "stream_bytes_per_cycle": device.stream_bytes_per_cycle,
        "bf16_macs_per_cycle": device.bf16_macs_per_cycle,
        "has_memtile_west": name.startswith("npu1"),
        **{f"mmul_{letter}": size for letter, size in zip("rst", device.mmul_shape)},
        **{
            f"time.{field.name}": getattr(times, field.name)
            for field in dataclasses.fields(Timing)
        },
    }
    # All numbers of the table but those that only the checks and tools read.
    not_here = {
        "INSTRUCTION_BYTES",
        "RUNTIME_DATA_BYTES",
        "CONSTANTS_BYTES",
        "CONTROLLER_SHIFT",
        "SHIM_ROW",
        "MEMTILE_ROW",
        "FIRST_CORE_ROW",
    }
    for constant, value in vars(devices).items():
        if constant.isupper() and isinstance(value, int) and constant not in not_here:
            expected[constant.lower()] = value
    for kind in (devices.SHIM, devices.MEMTILE, devices.CORE):
        for source in (kind, kind.dma):
            for field in dataclasses.fields(source):
                value = getattr(source, field.name)
                if type(value) in (int, bool) and field.name not in (
                    "num_banks",
                    "program_bytes",
                    "num_neighbour_channels",
                ):
                    expected[f"{kind.name}.{field.name}"] = value
    assert given == expected


def test_unnamed_buffers_and_blanks_in_names_keep_a_line_whole():
    text = configuration(
        edited(
            ('sym_name = "rtp", ', ""),
            ('sym_name = "go"', 'sym_name = "go on"'),
            ("aiex.npu.rtp_write(@rtp, 0, 2)", ""),
        )
    )
    assert [0, 2, 1280, 16, "?"] in words_of(text, "buffer")
    assert [0, 2, 4, 0, "go_on"] in words_of(text, "lock")


TOKENS = "aie.packet_flow(15) {\naie.packet_source<%core, TileControl : 0>\naie.packet_dest<%shim, South : 0>\n}\n"
DEVICE_END = "    // Two pairs of tiles"


def test_flows_of_controller_tokens_are_left_out():
    assert configuration(edited((DEVICE_END, TOKENS + DEVICE_END))) == configuration(
        parse_module(SAMPLE)
    )


BD = "{bd_id = 2 : i32, next_bd_id = 3 : i32}"
ERRORS = {
    "a_broken_limit": ([("aie.lock(%core, 4)", "aie.lock(%core, 16)"), ("address = 49152", "address = 65408")], ["tile (0, 2)", "65664", "limit 65536", "(and 1 more)"]),
    "half_words": ([("<size = 2, stride = 4>, <size = 16, stride = 8>, <size = 4, stride = 1>", "<size = 2, stride = 4>, <size = 16, stride = 8>, <size = 4, stride = 2>")], ["tile (0, 1)", "BD 2 of MM2S 0", "innermost stride"]),
    "an_odd_stride": ([("<size = 2, stride = 4>", "<size = 2, stride = 3>")], ["tile (0, 1)", "BD 2 of MM2S 0", "bytes of a stride"]),
    "no_address": ([(", address = 49152 : i32", "")], ["tile (0, 2)", "out_b"]),
    "a_lock_that_does_not_wait": ([('aie.use_lock(%go, AcquireGreaterEqual, 1)', 'aie.use_lock(%go, AcquireGreaterEqual, 1) {blocking = 0 : i32}')], ["tile (0, 2)", "go", "must wait", "blocking"]),
    "a_lock_that_is_not_enabled": ([('aie.use_lock(%l2_free, AcquireGreaterEqual, 1)', 'aie.use_lock(%l2_free, AcquireGreaterEqual, 1) {acq_en = false}')], ["tile (0, 1)", "l2_free", "must wait", "acq_en"]),
    "an_elf_file": ([('link_with = "scale.o"', 'elf_file = "core.elf"')], ["tile (0, 2)", "elf_file"]),
    "a_shim_program": ([("%m = aie.memtile_dma", "%s = aie.shim_dma(%shim) {\naie.end\n}\n%m = aie.memtile_dma")], ["tile (0, 0)", "aie.shim_dma", "host memory"]),
    "a_traced_flow": ([(DEVICE_END, "aie.flow(%core, Trace : 0, %shim, South : 1)\n" + DEVICE_END)], ["tile (0, 2)", "Trace 0", "only flows from DMA"]),
    "a_packet_of_data": ([(DEVICE_END, TOKENS.replace("TileControl", "Trace") + DEVICE_END)], ["tile (0, 2)", "Trace 0", "only flows from DMA"]),
    "two_devices": ([("aie.device(npu1_1col)", "aie.device(npu1) @other {\n}\naie.device(npu1_1col)")], ["one aie.device", "got 2"]),
    "nonzero_pads": ([("<size = 4, stride = 1>]", "<size = 4, stride = 1>], [<const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 0>], pad_value = 7")], ["tile (0, 1)", "BD 2 of MM2S 0", "zeros", "7"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_a_configuration_cannot_express_is_refused_in_one_line(name):
    edits, words = ERRORS[name]
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        configuration(edited(*edits))
    for word in words:
        assert word in str(error.value)


UNPLACED = {
    "buffer": (
        ", address = 49152 : i32",
        "",
        "tile (0, 2): buffer out_b has no address",
    ),
    "lock": ("aie.lock(%core, 4)", "aie.lock(%core)", "tile (0, 2): lock go has no id"),
    "bd": (BD, "", "tile (0, 1): a BD of MM2S 0 has no id"),
}


@pytest.mark.parametrize("kind", UNPLACED)
def test_a_design_that_is_not_placed_is_refused_either_way(kind):
    old, new, message = UNPLACED[kind]
    with pytest.raises(ValueError, match="needs"):
        configuration(edited((old, new)))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        configuration(edited((old, new)), is_placed=False)
