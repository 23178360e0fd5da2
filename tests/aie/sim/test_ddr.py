"""DDR's rates by the length of runs: published ones are met, and all shims share them.

Channels of shims fill memtiles, which nobody empties. The difference of two lengths
leaves out what a run takes to begin.
"""

from dataclasses import replace

import numpy as np
import pytest

from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.machines import MACHINES
from xdna.simulator import VirtualNpu
from xdna.stream.instructions import Sync, encode
from xdna.stream.shim_bd import ShimTransfer, operations
from xdna.timing import timing

ROWS = 32
PITCH_BYTES = 8064  # a row of A with k = 4032, whose GEMMs the paper varies
LONG_BYTES = 4032  # a dimension has at most 1023 words

CHANNEL = """
    %buffer{i} = aie.buffer(%mem{c}) {{sym_name = "b{i}",
      address = {address} : i32}} : memref<{n}xi32>
    aie.flow(%shim{c}, DMA : {ch}, %mem{c}, DMA : {ch})
    aie.shim_dma_allocation @fill{i}(%shim{c}, MM2S, {ch})
"""
PROGRAM = """
      %s{i} = aie.dma_start(S2MM, {ch}, ^in{i}, ^next{i})
    ^in{i}:
      aie.dma_bd(%buffer{i} : memref<{n}xi32>, 0, {n}) {{bd_id = {bd} : i32,
        next_bd_id = {bd} : i32}}
      aie.next_bd ^in{i}
    ^next{i}:
"""


def design(device_name, channels, num_words):
    """Circuits from MM2S channels (column, channel) of shims into their memtiles."""
    text = ""
    for column in sorted({column for column, _ in channels}):
        text += f"%shim{column} = aie.tile({column}, 0)\n"
        text += f"%mem{column} = aie.tile({column}, 1)\n"
        numbers = [number for of, number in channels if of == column]
        values = [
            {
                "c": column,
                "ch": number,
                "i": f"{column}_{number}",
                "n": num_words,
                "address": 4 * num_words * number,
                "bd": 24 * (number % 2),
            }
            for number in numbers
        ]
        text += "".join(CHANNEL.format(**value) for value in values)
        text += f"%m{column} = aie.memtile_dma(%mem{column}) {{\n"
        text += "".join(PROGRAM.format(**value) for value in values)
        text += "aie.end\n}\n"
    return parse_module(f"module {{ aie.device({device_name}) {{\n{text}}}\n}}")


def rate(machine, channels, run_bytes, pitch_bytes=PITCH_BYTES):
    """Bytes a second that the channels read in all, in runs of that length.

    A channel reads blocks of 32 runs, one from each row, and blocks follow each other
    along the rows.
    """
    npu, run = device(machine.device), run_bytes // 4
    text = configuration(
        design(npu.name, channels, ROWS * run),
        times=timing(machine.device, machine),
    )
    largest = pitch_bytes // run_bytes
    seconds = []
    for blocks in (largest // 2, largest):
        sizes, strides = (1, blocks, ROWS, run), (0, run, pitch_bytes // 4, 1)
        stream = []
        for column, channel in channels:
            stream += operations(
                npu,
                ShimTransfer(
                    column, "MM2S", channel, channel, 0, 0, sizes, strides, True
                ),
            )
        stream += [Sync(column, 0, "MM2S", channel) for column, channel in channels]
        source = np.zeros(ROWS * pitch_bytes // 4, np.int32)
        report = VirtualNpu(text).run(encode(npu, stream), [source])
        seconds.append(report.device_seconds)
    more_blocks = largest - largest // 2
    num_bytes = len(channels) * more_blocks * ROWS * run_bytes
    return num_bytes / (seconds[1] - seconds[0])


def both_channels(num_columns):
    return [(column, number) for column in range(num_columns) for number in (0, 1)]


NPU1 = MACHINES["7940hs"]
NPU2 = MACHINES["krackan-350"]


def test_runs_of_112_bytes_of_npu1_are_as_slow_as_published():
    """6.9 GB/s: arXiv 2512.13282, figure 6a."""
    assert rate(NPU1, both_channels(4), 112) == pytest.approx(6.9e9, rel=0.15)


def test_runs_of_448_bytes_of_npu1_nearly_saturate_ddr():
    """Published: saturated, so 15 to 17.6 GB/s."""
    assert 15.5e9 <= rate(NPU1, both_channels(4), 448) <= 18e9


def test_aligned_runs_of_128_bytes_of_npu1_are_as_fast_as_published():
    """13.4 GB/s, derived from published GEMMs that write C too."""
    assert 12e9 <= rate(NPU1, both_channels(4), 128, 8192) <= 14e9


def test_runs_of_128_bytes_of_npu2_are_as_fast_as_published():
    """37 GB/s, in GEMMs whose B comes through all shims and whose A through four."""
    channels = [(column, 0) for column in range(8)] + [
        (column, 1) for column in range(4)
    ]
    assert rate(NPU2, channels, 128, 8192) == pytest.approx(37e9, rel=0.1)


@pytest.mark.parametrize("one", MACHINES.values(), ids=MACHINES)
def test_long_runs_reach_the_machines_rate(one):
    channels = both_channels(device(one.device).num_columns)
    found = rate(one, channels, LONG_BYTES, 4 * LONG_BYTES)
    assert found == pytest.approx(one.ddr_bytes_per_second, rel=0.01)


def test_one_channel_of_the_8700g_is_as_fast_as_published():
    found = rate(MACHINES["8700g"], [(0, 0)], LONG_BYTES, 4 * LONG_BYTES)
    assert found == pytest.approx(6.9e9, rel=0.01)


def test_both_channels_of_a_shim_begin_runs_in_turn():
    one, both = (
        rate(NPU1, channels, 128, 8192) for channels in ([(0, 0)], [(0, 0), (0, 1)])
    )
    assert one == pytest.approx(both, rel=0.02)


def test_what_lies_askew_takes_more_lines():
    askew = rate(NPU1, [(0, 0)], 128, 8192 + 4)
    assert askew < 0.7 * rate(NPU1, [(0, 0)], 128, 8192)


def test_a_run_takes_as_long_in_any_pieces():
    """Pieces of 100 bytes, which end within lines, each take their share of it."""
    whole, pieces = (
        rate_of_one_run(replace(NPU1, clock_hz=1e9), piece) for piece in (6400, 100)
    )
    assert pieces == pytest.approx(whole, rel=0.1)


def rate_of_one_run(machine, piece_bytes):
    """Bytes a second of one long run through two channels, by pieces of a memtile."""
    channels, seconds = both_channels(1), []
    npu = device(machine.device)
    text = configuration(
        design(npu.name, channels, piece_bytes // 4), times=timing(npu.name, machine)
    )
    for num_words in 16000, 32000:
        stream = []
        for column, channel in channels:
            sizes, strides = (1, 1, 1, num_words), (0, 0, 0, 1)
            stream += operations(
                npu,
                ShimTransfer(
                    column, "MM2S", channel, channel, 0, 0, sizes, strides, True
                ),
            )
        stream += [Sync(column, 0, "MM2S", channel) for column, channel in channels]
        source = np.zeros(num_words, np.int32)
        report = VirtualNpu(text).run(encode(npu, stream), [source])
        seconds.append(report.device_seconds)
    return 2 * 4 * 16000 / (seconds[1] - seconds[0])
