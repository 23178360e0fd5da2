# ruff: noqa: E501  one case a line
"""Designs as configurations: the numbers in the text, and what has no place there."""

import dataclasses
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from xdna import devices
from xdna.devices import DEVICES
from xdna.dialect.text import parse_module, print_module
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.load.configuration import configuration
from xdna.timing import Timing, timing

DATA = Path(__file__).parents[1] / "data"
SAMPLE = (DATA / "sample.mlir").read_text()

ARRAYS = [
    GemmArray("npu1"),
    GemmArray("npu1", 64, 64, 32, out="bfloat16", b_column_major=True),
    GemmArray("npu2", 64, 64, 64),
    GemmArray("npu2", 32, 128, 32, out="bfloat16"),
]


def words_of(text, kind):
    """The words of a kind's lines; numbers as such."""
    lines = [line.split() for line in text.splitlines()]
    return [
        [int(word) if word.lstrip("-").isdigit() else word for word in line[1:]]
        for line in lines
        if line[0] == kind
    ]


def edited(*edits):
    text = SAMPLE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return parse_module(text)


@dataclasses.dataclass
class Bd:
    """A `bd` line, read by the format's description."""

    tile: tuple
    id: int
    memory: tuple
    address: int
    length: int
    next: int
    acquire: tuple
    release: tuple
    dims: list
    pads: list

    @classmethod
    def read(cls, words):
        (column, row, id, memory_column, memory_row, address, length), rest = (
            words[:7],
            words[7:],
        )
        next, *locks = rest[:5]
        tail = iter(rest[5:])
        dims, pads = (
            [(next_word(tail), next_word(tail)) for _ in range(next_word(tail))]
            for _ in "dp"
        )
        assert next_word(tail, None) is None
        tile, memory = (column, row), (memory_column, memory_row)
        return cls(
            tile,
            id,
            memory,
            address,
            length,
            next,
            tuple(locks[:2]),
            tuple(locks[2:]),
            dims,
            pads,
        )

    def words(self):
        """Word addresses of the buffer's tile in the order of the transfer."""
        order = np.array([self.address // 4])
        for size, stride in self.dims or [(self.length, 1)]:
            order = (order[:, None] + np.arange(size) * stride).reshape(-1)
        assert order.size == self.length
        return order


def next_word(words, *default):
    return next(words, *default)


def bds_of(text):
    return [Bd.read(words) for words in words_of(text, "bd")]


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
    dims = [(2, 2), (16, 4), (2, 1)]  # of two bf16 a word
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
        "runtime_bds": name.startswith("npu2"),
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
                if type(value) is int and field.name not in (
                    "num_banks",
                    "program_bytes",
                    "num_neighbour_channels",
                ):
                    expected[f"{kind.name}.{field.name}"] = value
    assert given == expected


def test_the_first_columns_are_as_fast_as_the_whole():
    assert timing("npu1_2col") == timing("npu1")
    assert timing("npu2_5col") == timing("npu2") != timing("npu1")
    with pytest.raises(ValueError, match="npu3"):
        timing("npu3")


def test_npu2s_times_make_the_measured_figures():
    """Published: DDR 37 and 10 GB/s in runs of 128 and 16 bytes; dispatch 107-116 us."""
    times = timing("npu2")
    for run, measured in ((128, 37e9), (16, 10e9)):
        rate = times.ddr_bytes_per_second * run / (run + times.ddr_run_overhead_bytes)
        assert rate == pytest.approx(measured, rel=0.03)
    floor = times.launch_seconds + (times.launch + times.first_sync) / times.clock_hz
    assert 107e-6 <= floor <= 116e-6
    for (m, k, n), cycles in (
        ((64, 64, 64), 1576),
        ((32, 64, 64), 832),
        ((32, 32, 64), 590),
    ):
        model = times.matmul_bfp16_mkn * m * k * n + times.matmul_bfp16_mn * m * n
        assert model == pytest.approx(cycles, rel=0.07)


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_the_gemm_design_survives_text(array):
    module = gemm_design(array)
    before = print_module(module)
    text = configuration(module)
    assert print_module(module) == before
    assert configuration(parse_module(print_module(module, generic=True))) == text


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_gemm_streams_take_the_shortest_way(array):
    wanted = []
    for row, column in enumerate(array.a_columns):
        wanted.append((column, 0, 0, column, 1, 0, 2))
        for target in range(array.num_columns):
            wanted.append(
                (column, 1, 0, target, 2 + row, 0, abs(target - column) + row + 2)
            )
    for column in range(array.num_columns):
        wanted += [(column, 0, 1, column, 1, 1, 2), (column, 1, 2, column, 0, 0, 2)]
        for row in range(4):
            wanted.append((column, 1, 1, column, 2 + row, 1, row + 2))
            wanted.append((column, 2 + row, 0, column, 1, 2 + row, row + 2))
    routes = words_of(configuration(gemm_design(array)), "route")
    assert sorted(map(tuple, routes)) == sorted(wanted)


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_gemm_bds_form_a_ring_on_each_channel_between_their_locks(array):
    text = configuration(gemm_design(array))
    locks = [words[-1] for words in words_of(text, "lock")]
    buffers = {
        (c, r, address): name for c, r, address, _, name in words_of(text, "buffer")
    }
    bds = {(bd.tile, bd.id): bd for bd in bds_of(text)}
    reached = []
    for column, row, direction, channel, first, repeats in words_of(text, "start"):
        assert repeats == 1
        ring = [first]
        while (following := bds[(column, row), ring[-1]].next) != first:
            ring.append(following)
        assert len(ring) == len(set(ring))
        reached += [((column, row), id) for id in ring]
        for id in ring:
            bd = bds[(column, row), id]
            assert bd.tile == bd.memory == (column, row)
            assert bd.acquire[1] == bd.release[1] == 1
            names = locks[bd.acquire[0]], locks[bd.release[0]]
            states = ["free", "full"] if direction == 0 else ["full", "free"]
            assert [name.split("_")[-1] for name in names] == states
            stems = {name.rsplit("_", 1)[0] for name in names}
            assert len(stems) == 1
            if row > 1:
                operand = "c" if direction else "ab"[channel]
                assert stems == {f"core_{column}_{row - 2}_{operand}"}
                assert buffers[(*bd.memory, bd.address)][0] == operand
    assert sorted(reached) == sorted(bds)


def blocks(matrix, rows, columns):
    height, width = matrix.shape
    split = matrix.reshape(height // rows, rows, width // columns, columns)
    return split.transpose(0, 2, 1, 3).reshape(-1)


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_gemm_memtiles_send_words_in_the_kernels_order(array):
    r, s, t = array.device.mmul_shape
    m, k, n = array.m, array.k, array.n
    text = configuration(gemm_design(array))
    address = {name: address for *_, address, _, name in words_of(text, "buffer")}
    sent = {(bd.memory, bd.address): bd for bd in bds_of(text) if bd.dims}

    def words(matrix_blocks, element_bytes, base):
        """Words of elements that are numbered in the order of their addresses."""
        per_word = 4 // element_bytes
        return base // 4 + matrix_blocks[::per_word] // per_word

    a = address["l2_a_1_0"]
    order = blocks(np.arange(m * k).reshape(m, k), r, s)
    np.testing.assert_array_equal(sent[(0, 1), a].words(), words(order, 2, a))
    b = address["l2_b_0_1"]
    shape, block = ((n, k), (t, s)) if array.b_column_major else ((k, n), (s, t))
    order = blocks(np.arange(k * n).reshape(shape), *block)
    np.testing.assert_array_equal(sent[(1, 1), b].words(), words(order, 2, b))
    part_bytes = m * n * array.out_bytes
    for row in range(4):
        c = address["l2_c_1_0"] + row * part_bytes
        # where each element of the rows lies among the blocks that the core sent
        order = np.argsort(blocks(np.arange(m * n).reshape(m, n), r, t))
        np.testing.assert_array_equal(
            sent[(0, 1), c].words(), words(order, array.out_bytes, c)
        )


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_gemm_kernels_have_the_types_of_their_tiles(array):
    text = configuration(gemm_design(array))
    types, kernels = words_of(text, "type"), words_of(text, "kernel")
    found = {name: [types[i] for i in arguments] for name, _, *arguments in kernels}
    m, k, n = array.m, array.k, array.n
    sums = ["f32", 2, m, n]
    wanted = {
        "zero_f32": [sums],
        "matmul_bf16_f32": [["bf16", 2, m, k], ["bf16", 2, k, n], sums],
    }
    if array.out == "bfloat16":
        wanted["convert_f32_bf16"] = [sums, ["bf16", 2, m, n]]
    assert found == wanted
    cores = [(column, row) for column, row, *_ in words_of(text, "core")]
    assert cores == list(itertools.product(range(array.num_columns), range(2, 6)))


def memtile(bd, element="i32", count=4096, extra="", repeat=0, last="aie.end"):
    """A two-column design whose first memtile sends one BD of a buffer to a core."""
    return parse_module(f"""
      aie.device(npu1_2col) {{
        %mem = aie.tile(0, 1)
        %next = aie.tile(1, 1)
        %core = aie.tile(0, 2)
        %buffer = aie.buffer(%mem) {{address = 4096 : i32, sym_name = "own"}} : memref<{count}x{element}>
        %other = aie.buffer(%next) {{address = 512 : i32, sym_name = "other"}} : memref<{count}x{element}>
        %in = aie.buffer(%core) {{address = 1024 : i32, sym_name = "in"}} : memref<64xi32>
        %lock = aie.lock(%next, 5) {{init = 3 : i32, sym_name = "lock"}}
        aie.flow(%mem, DMA : 0, %core, DMA : 0)
        %m = aie.memtile_dma(%mem) {{
          %0 = aie.dma_start(MM2S, 0, ^send, ^end, repeat_count = {repeat})
        ^send:
          {bd.replace("TYPE", f"memref<{count}x{element}>")}
          {last}
        ^end:
          aie.end
        }}
        %d = aie.mem(%core) {{
          %0 = aie.dma_start(S2MM, 0, ^take, ^end)
        ^take:
          aie.dma_bd(%in : memref<64xi32>, 0, 64) {{bd_id = 0 : i32}}
          aie.next_bd ^take
        ^end:
          aie.end
        }}
        {extra}
      }}""")


def first_bd(module):
    return next(bd for bd in bds_of(configuration(module)) if bd.tile == (0, 1))


@pytest.mark.parametrize(
    ("element", "num_bytes"), [("i8", 1), ("bf16", 2), ("f32", 4), ("i64", 8)]
)
def test_elements_of_every_size_become_words(element, num_bytes):
    rng = np.random.default_rng(num_bytes)
    for _ in range(8):
        run = math.lcm(4, num_bytes) // num_bytes
        sizes = [
            *(int(n) for n in rng.integers(1, 5, size=2)),
            run * int(rng.integers(1, 5)),
        ]
        strides = [run * int(n) for n in rng.integers(1, 40, size=2)] + [1]
        offset = run * int(rng.integers(64))
        dims = ", ".join(
            f"<size = {n}, stride = {step}>" for n, step in zip(sizes, strides)
        )
        length = math.prod(sizes)
        bd = first_bd(
            memtile(
                f"aie.dma_bd(%buffer : TYPE, {offset}, {length}, [{dims}]) {{bd_id = 0 : i32}}",
                element,
            )
        )
        elements = np.array([offset])
        for size, stride in zip(sizes, strides):
            elements = (elements[:, None] + np.arange(size) * stride).reshape(-1)
        in_bytes = (elements[:, None] * num_bytes + np.arange(num_bytes)).reshape(-1)
        np.testing.assert_array_equal(bd.words(), 4096 // 4 + in_bytes[::4] // 4)


def test_words_may_lie_apart():
    bd = first_bd(
        memtile(
            "aie.dma_bd(%buffer : TYPE, 3, 8, [<size = 2, stride = 100>, <size = 4, stride = 5>]) {bd_id = 7 : i32}"
        )
    )
    assert (bd.id, bd.address, bd.length, bd.dims) == (
        7,
        4096 + 12,
        8,
        [(2, 100), (4, 5)],
    )


def test_pads_are_words_where_they_are_innermost():
    pads = "[<const_pad_before = 1, const_pad_after = 2>, <const_pad_before = 4, const_pad_after = 2>]"
    bd = first_bd(
        memtile(
            f"aie.dma_bd(%buffer : TYPE, 0, 84, [<size = 3, stride = 8>, <size = 8, stride = 1>], {pads}) {{bd_id = 0 : i32}}",
            "bf16",
        )
    )
    assert (bd.length, bd.dims, bd.pads) == (42, [(3, 4), (4, 1)], [(1, 2), (2, 1)])


def test_a_chain_may_end_and_be_repeated():
    text = configuration(
        memtile("aie.dma_bd(%buffer : TYPE, 0, 64) {bd_id = 0 : i32}", repeat=3)
    )
    assert [bd.next for bd in bds_of(text) if bd.tile == (0, 1)] == [-1]
    assert [0, 1, 1, 0, 0, 4] in words_of(text, "start")


def test_a_bd_may_use_the_neighbours_memory_and_lock():
    bd = first_bd(
        memtile(
            "aie.use_lock(%lock, AcquireGreaterEqual, 2)\naie.dma_bd(%other : TYPE, 4, 64) {bd_id = 0 : i32}"
        )
    )
    assert (bd.memory, bd.address, bd.acquire, bd.release) == (
        (1, 1),
        512 + 16,
        (0, 2),
        (-1, 0),
    )


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
    "plain_acquire": ([("AcquireGreaterEqual", "Acquire")], ["AcquireGreaterEqual or Release", "disagree whether Acquire also subtracts"]),
    "half_words": ([("<size = 2, stride = 4>, <size = 16, stride = 8>, <size = 4, stride = 1>", "<size = 2, stride = 4>, <size = 16, stride = 8>, <size = 4, stride = 2>")], ["tile (0, 1)", "BD 2 of MM2S 0", "innermost stride"]),
    "an_odd_stride": ([("<size = 2, stride = 4>", "<size = 2, stride = 3>")], ["tile (0, 1)", "BD 2 of MM2S 0", "bytes of a stride"]),
    "no_address": ([(", address = 49152 : i32", "")], ["tile (0, 2)", "out_b"]),
    "an_initial_value": ([('sym_name = "rtp"', 'initial_value = dense<0> : tensor<4xi32>, sym_name = "rtp"')], ["tile (0, 2)", "rtp", "initial value"]),
    "a_lock_that_does_not_wait": ([('aie.use_lock(%go, AcquireGreaterEqual, 1)', 'aie.use_lock(%go, AcquireGreaterEqual, 1) {blocking = 0 : i32}')], ["tile (0, 2)", "go", "must wait", "blocking"]),
    "a_lock_that_is_not_enabled": ([('aie.use_lock(%l2_free, AcquireGreaterEqual, 1)', 'aie.use_lock(%l2_free, AcquireGreaterEqual, 1) {acq_en = false}')], ["tile (0, 1)", "l2_free", "must wait", "acq_en"]),
    "a_packet_bd": ([(BD, BD[:-1] + ", packet = #aie.packet_info<pkt_type = 0, pkt_id = 1>}")], ["tile (0, 1)", "BD 2 of MM2S 0", "packets"]),
    "an_elf_file": ([('link_with = "scale.o"', 'elf_file = "core.elf"')], ["tile (0, 2)", "elf_file"]),
    "a_shim_program": ([("%m = aie.memtile_dma", "%s = aie.shim_dma(%shim) {\naie.end\n}\n%m = aie.memtile_dma")], ["tile (0, 0)", "aie.shim_dma", "host memory"]),
    "a_traced_flow": ([(DEVICE_END, "aie.flow(%core, Trace : 0, %shim, South : 1)\n" + DEVICE_END)], ["tile (0, 2)", "Trace 0", "between DMA channels"]),
    "a_packet_of_data": ([(DEVICE_END, TOKENS.replace("TileControl", "Trace") + DEVICE_END)], ["tile (0, 2)", "Trace 0", "controller tokens"]),
    "two_devices": ([("aie.device(npu1_1col)", "aie.device(npu1) @other {\n}\naie.device(npu1_1col)")], ["one aie.device", "got 2"]),
    "nonzero_pads": ([("<size = 4, stride = 1>]", "<size = 4, stride = 1>], [<const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 0>, <const_pad_before = 0, const_pad_after = 0>], pad_value = 7")], ["tile (0, 1)", "BD 2 of MM2S 0", "zeros", "7"]),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_it_says_in_a_line_what_has_no_place_in_a_configuration(name):
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
def test_a_design_that_is_not_placed_is_told_either_way(kind):
    old, new, message = UNPLACED[kind]
    with pytest.raises(ValueError, match="needs"):
        configuration(edited((old, new)))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        configuration(edited((old, new)), is_placed=False)
