"""What silicon lets pass is a notice with names, and the run goes on."""

import numpy as np
import pytest

from xdna.load.configuration import configuration
from xdna.load.design_text import read_design
from xdna.simulator import Trap, VirtualNpu
from xdna.stream.instructions import MaskWrite, Preempt, Write, tile_address

from .streams import shim, sync, words

NAME = "npu1_1col"
# A core that copies pairs of words, in a loop over two buffers each way.
COPIES = """
aie.device(npu1_1col) {
  %shim = aie.tile(0, 0)
  %tile = aie.tile(0, 2)
  aie.flow(%shim, DMA : 0, %tile, DMA : 0)
  aie.flow(%tile, DMA : 0, %shim, DMA : 0)
  %x0 = aie.buffer(%tile) {address = 1024 : i32} : memref<2xi32>
  %x1 = aie.buffer(%tile) {address = 2048 : i32} : memref<2xi32>
  %y0 = aie.buffer(%tile) {address = 4096 : i32} : memref<2xi32>
  %y1 = aie.buffer(%tile) {address = 8192 : i32} : memref<2xi32>
  %x_free = aie.lock(%tile, 0) {init = 2 : i32, sym_name = "x_free"}
  %x_full = aie.lock(%tile, 1) {init = 0 : i32, sym_name = "x_full"}
  %y_free = aie.lock(%tile, 2) {init = 2 : i32, sym_name = "y_free"}
  %y_full = aie.lock(%tile, 3) {init = 0 : i32, sym_name = "y_full"}
  func.func @copy(%from : memref<2xi32>, %to : memref<2xi32>) {
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %a = memref.load %from[%zero] : memref<2xi32>
    %b = memref.load %from[%one] : memref<2xi32>
    memref.store %a, %to[%zero] : memref<2xi32>
    memref.store %b, %to[%one] : memref<2xi32>
    func.return
  }
  %core = aie.core(%tile) {
    cf.br ^loop
  ^loop:
    aie.use_lock(%x_full, AcquireGreaterEqual, 1)
    aie.use_lock(%y_free, AcquireGreaterEqual, 1)
    func.call @copy(%x0, %y0) : (memref<2xi32>, memref<2xi32>) -> ()
    aie.use_lock(%x_free, Release, 1)
    aie.use_lock(%y_full, Release, 1)
    aie.use_lock(%x_full, AcquireGreaterEqual, 1)
    aie.use_lock(%y_free, AcquireGreaterEqual, 1)
    func.call @copy(%x1, %y1) : (memref<2xi32>, memref<2xi32>) -> ()
    aie.use_lock(%x_free, Release, 1)
    aie.use_lock(%y_full, Release, 1)
    cf.br ^loop
  }
  %mem = aie.mem(%tile) {
    %0 = aie.dma(S2MM, 0) [{
      aie.use_lock(%x_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%x0 : memref<2xi32>, 0, 2) {bd_id = 0 : i32}
      aie.use_lock(%x_full, Release, 1)
    }, {
      aie.use_lock(%x_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%x1 : memref<2xi32>, 0, 2) {bd_id = 1 : i32}
      aie.use_lock(%x_full, Release, 1)
    }]
    %1 = aie.dma(MM2S, 0) [{
      aie.use_lock(%y_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%y0 : memref<2xi32>, 0, 2) {bd_id = 2 : i32}
      aie.use_lock(%y_free, Release, 1)
    }, {
      aie.use_lock(%y_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%y1 : memref<2xi32>, 0, 2) {bd_id = 3 : i32}
      aie.use_lock(%y_free, Release, 1)
    }]
    aie.end
  }
}
"""


@pytest.fixture(scope="module")
def copies():
    return configuration(read_design(COPIES))


def run(text, rng, num_in, num_out, *further):
    """The notices of a run that sends words through the core and takes some back."""
    npu = VirtualNpu(text)
    x = rng.integers(-(1 << 31), 1 << 31, num_in, dtype=np.int64).astype(np.int32)
    y = np.zeros(num_out, np.int32)
    stream = words(
        NAME,
        *further,
        shim(NAME, "S2MM", 0, 0, 1, num_out),
        shim(NAME, "MM2S", 0, 1, 0, num_in),
        sync(0, "S2MM", 0),
    )
    report = npu.run(stream, [x, y])
    np.testing.assert_array_equal(y, x[:num_out])
    return report.notices


def test_a_run_that_leaves_the_array_as_it_was_is_not_noticed(copies, rng):
    assert run(copies, rng, 8, 8) == []


def test_a_core_in_mid_loop_is_named_with_its_lock_and_both_instructions(copies, rng):
    (notice,) = run(copies, rng, 6, 6)
    assert notice.startswith("core (0, 2) is left in mid-loop: it waits for lock 1 of ")
    assert "'x_full' at instruction " in notice


def test_data_that_nobody_takes_and_locks_that_are_not_back_are_named(copies, rng):
    notices = run(copies, rng, 12, 8)
    assert [notice for notice in notices if "holds" in notice] == [
        "core (0, 2) MM2S 0 BD 2 holds 2 words that nobody takes when the stream ends"
    ]
    assert [notice for notice in notices if " is 0 when" in notice] == [
        "lock 2 of core (0, 2) 'y_free' is 0 when the stream ends, and was 2 before it"
    ]
    assert any("'y_full' is 1 when" in notice for notice in notices)


def test_a_bd_that_is_left_half_way_is_named(copies, rng):
    notices = run(copies, rng, 9, 8)
    assert (
        "core (0, 2) S2MM 0 BD 0 has received 1 of its 2 words when the stream ends"
        in notices
    )


def test_a_token_that_nobody_awaits_is_noticed(copies, rng):
    npu = VirtualNpu(copies)
    x, y = rng.integers(0, 99, 4).astype(np.int32), np.zeros(4, np.int32)
    sent = shim(NAME, "MM2S", 0, 1, 0, 4, token=True)
    stream = words(NAME, shim(NAME, "S2MM", 0, 0, 1, 4), sent, sync(0, "S2MM", 0))
    (notice,) = npu.run(stream, [x, y]).notices
    np.testing.assert_array_equal(y, x)
    assert notice.startswith("a token of shim (0, 0) MM2S 0, pushed at word ")
    assert notice.endswith("was never awaited")


def test_an_output_that_is_never_synced_is_noticed_unless_it_is_late(copies, rng):
    x, y = rng.integers(0, 99, 4).astype(np.int32), np.zeros(4, np.int32)
    parts = [
        shim(NAME, "S2MM", 0, 0, 1, 4, token=False),
        shim(NAME, "MM2S", 0, 1, 0, 4, token=True),
        sync(0, "MM2S", 0),
    ]
    with pytest.raises(
        Trap, match=r"output of shim \(0, 0\) S2MM 0 BD 0, .*never synced"
    ):
        VirtualNpu(copies).run(words(NAME, *parts[:2]), [x, y])
    later = words(NAME, *parts, *[Preempt(0)] * 100)
    (notice,) = VirtualNpu(copies).run(later, [x, y]).notices
    np.testing.assert_array_equal(y, x)
    assert notice.startswith("the output of shim (0, 0) S2MM 0 BD 0, pushed at word ")
    assert notice.endswith("was never synced, and ended in time by chance")


@pytest.mark.parametrize(
    ("tile", "offset"),
    [
        *[((0, 0), offset) for offset in (0x31000, 0x34000, 0x340D0, 0x34514)],
        *[((0, 0), offset) for offset in (0x14100, 0x3FF00)],
        *[((0, 1), offset) for offset in (0x91000, 0x94008, 0x940E0, 0x94520)],
        *[((0, 1), offset) for offset in (0xA06A0, 0xB0F04, 0xC0400)],
        *[((0, 2), offset) for offset in (0x31500, 0x340D4, 0x11000, 0x140F0, 0x34500)],
        *[((0, 2), offset) for offset in (0x3FF04, 0x3202C, 0x1F11C)],
    ],
)
def test_registers_that_only_observe_are_written_without_effect(
    copies, rng, tile, offset
):
    address = tile_address(*tile, offset)
    notices = run(copies, rng, 4, 4, Write(address, 7), MaskWrite(address, 1, 1))
    assert notices == [
        "2 writes to registers of events, timers, traces or performance counters have "
        "no effect here"
    ]


@pytest.mark.parametrize(
    ("tile", "offset"),
    [((0, 0), 0x3FF08), ((0, 1), 0xB0F10), ((0, 2), 0x3FF08), ((0, 2), 0x32030)],
)
def test_registers_beside_those_that_observe_are_refused(copies, rng, tile, offset):
    with pytest.raises(Trap, match=f"register {offset:#x} of .* cannot be written"):
        run(copies, rng, 4, 4, Write(tile_address(*tile, offset), 7))
