"""Single mechanisms take their published times, in a loop from DDR to DDR.

A shim's MM2S channel fills a memtile's buffer and an S2MM channel empties it. Nothing
overlaps, so every part of the run's time can be measured.
"""

import numpy as np
import pytest

from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.simulator import VirtualNpu
from xdna.stream.instructions import Sync, encode
from xdna.stream.shim_bd import ShimTransfer, operations
from xdna.timing import timing

LOOP = """
module {{
  aie.device({device}) {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %buffer = aie.buffer(%mem) {{sym_name = "b", address = 0 : i32}} : memref<{n}xi32>
    %free = aie.lock(%mem, 0) {{init = 1 : i32, sym_name = "free"}}
    %full = aie.lock(%mem, 1) {{init = 0 : i32, sym_name = "full"}}
    aie.flow(%shim, DMA : 0, %mem, DMA : 0)
    aie.flow(%mem, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @fill(%shim, MM2S, 0)
    aie.shim_dma_allocation @drain(%shim, S2MM, 0)
    %m = aie.memtile_dma(%mem) {{
      %0 = aie.dma_start(S2MM, 0, ^in, ^next)
    ^in:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%buffer : memref<{n}xi32>, 0, {n}) {{bd_id = 0 : i32,
        next_bd_id = 0 : i32}}
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^in
    ^next:
      %1 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%buffer : memref<{n}xi32>, 0, {n}) {{bd_id = 1 : i32,
        next_bd_id = 1 : i32}}
      aie.use_lock(%free, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }}
  }}
}}
"""


def loop(device_name, num_words, is_chained=False):
    """The report of a run that copies `num_words` words; checks the copy."""
    npu = device(device_name)
    stream = []
    for argument, direction in enumerate(("MM2S", "S2MM")):
        sizes, strides = (1, 1, 1, num_words), (0, 0, 0, 1)
        stream += operations(
            npu,
            ShimTransfer(0, direction, 0, argument, argument, 0, sizes, strides, True),
        )
    stream += [Sync(0, 0, way, 0) for way in ("MM2S", "S2MM")]
    source = np.arange(num_words, dtype=np.int32)
    target = np.zeros_like(source)
    text = LOOP.format(device=device_name, n=num_words)
    report = VirtualNpu(configuration(parse_module(text))).run(
        encode(npu, stream), [source, target], is_chained
    )
    np.testing.assert_array_equal(target, source)
    return report


DEVICES = "npu1_1col", "npu2_1col"


@pytest.mark.parametrize("name", DEVICES)
def test_a_word_takes_the_published_cycles_in_and_out(name):
    """On npu1, a word from DDR takes 1.05 cycles, a word to DDR 1.00."""
    short, long = 32768, 65536
    per_word = (loop(name, long).cycles - loop(name, short).cycles) / (long - short)
    times = timing(name)
    assert per_word == pytest.approx(
        times.shim_mm2s_cycles_per_word + times.shim_s2mm_cycles_per_word, rel=1e-3
    )
    if name.startswith("npu1"):
        assert per_word == pytest.approx(2.05, rel=1e-3)


def test_cold_channels_of_npu1_begin_after_the_published_cycles():
    usage = loop("npu1_1col", 16384).usage
    assert usage["shim (0, 0) MM2S 0"].stalls["setup"] == pytest.approx(1330, abs=10)
    # Its last words are still on their way when the memtile has sent them.
    assert usage["shim (0, 0) S2MM 0"].stalls["setup"] == pytest.approx(341, abs=20)


@pytest.mark.parametrize("name", DEVICES)
def test_the_controller_takes_the_published_cycles_an_operation(name):
    times = timing(name)
    transfer = (
        times.blockwrite
        + 8 * times.blockwrite_word
        + times.patch
        + times.maskwrite
        + times.write
    )
    expected = 2 * transfer + 2 * times.sync + times.first_sync
    assert loop(name, 1024).controller_cycles == expected


def test_a_memtile_releases_its_lock_late():
    usage = loop("npu2_1col", 16384).usage["memtile (0, 1) S2MM 0"]
    times = timing("npu2_1col")
    late = usage.stalls["free"] - 16384 * times.cycles_per_word
    assert late == pytest.approx(2 * times.memtile_release, abs=20)  # there and back


@pytest.mark.parametrize("name", DEVICES)
def test_a_chained_run_begins_sooner_and_costs_the_host_nothing(name):
    times, (first, chained) = timing(name), (loop(name, 64, way) for way in (0, 1))
    assert first.submission_seconds == times.launch_seconds
    assert chained.submission_seconds == 0
    assert first.cycles - chained.cycles == times.launch - times.chained_launch
    if name.startswith("npu1"):  # said of npu1: 28 us
        launch = chained.usage["controller"].stalls["launch"]
        seconds = (launch + times.first_sync) / 1e9
        assert seconds == pytest.approx(28e-6, rel=1e-3)
