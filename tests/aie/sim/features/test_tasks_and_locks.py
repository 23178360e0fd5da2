"""What DMA programs may do besides one endless chain for each channel."""

import numpy as np
import pytest

from xdna.simulator import Trap
from xdna.stream.instructions import Write, tile_address

from .streams import shim, sync, virtual_npu, words

# A memtile takes two matrices (8) at two places: in one task each, and in either order.
TWO_TASKS = """
module {
  aie.device(npu1) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %x = aie.buffer(%mem) {sym_name = "x", address = 0 : i32} : memref<32xi32>
    %full = aie.lock(%mem, 0) {init = 0 : i32, sym_name = "full"}
    %free = aie.lock(%mem, 1) {init = 63 : i32, sym_name = "free"}
    aie.flow(%shim, DMA : 0, %mem, DMA : 0)
    aie.flow(%mem, DMA : 0, %shim, DMA : 0)
    %m = aie.memtile_dma(%mem) {
      %0 = aie.dma_start(S2MM, 0, ^first, ^next, repeat_count = 1)
    ^first:
      aie.dma_bd(%x : memref<32xi32>, 8, 8) {bd_id = 0 : i32}
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^end
    ^next:
      %1 = aie.dma_start(S2MM, 0, ^second, ^out)
    ^second:
      aie.dma_bd(%x : memref<32xi32>, 0, 8) {bd_id = 1 : i32}
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^end
    ^out:
      %2 = aie.dma_start(MM2S, 0, ^send, ^end, repeat_count = 3)
    ^send:
      aie.use_lock(%full, AcquireGreaterEqual, 3)
      aie.dma_bd(%x : memref<32xi32>, 0, 16) {bd_id = 2 : i32}
      aie.use_lock(%free, Release, 0)
      aie.next_bd ^send
    ^end:
      aie.end
    }
  }
}
"""


def test_tasks_of_a_channel_run_one_after_the_other(rng):
    npu = virtual_npu(TWO_TASKS)
    x = rng.integers(-1000, 1000, (3, 8), dtype=np.int32)
    y = np.full((2, 8), -1, np.int32)
    program = [
        shim("npu1", "MM2S", 0, 0, 0, x.size),
        shim("npu1", "S2MM", 0, 1, 1, y.size),
        sync(0, "S2MM", 0),
    ]
    npu.run(words("npu1", *program), [x, y])
    np.testing.assert_array_equal(y, x[[2, 1]])


def test_repeats_of_an_endless_chain_change_nothing(rng):
    """It sends more often than its four repeats, whenever the lock lets it."""
    npu = virtual_npu(TWO_TASKS)
    x = rng.integers(-1000, 1000, (3, 8), dtype=np.int32)
    y = np.full((6, 2, 8), -1, np.int32)
    full = Write(tile_address(0, 1, 0xC0000), 3)
    program = [
        shim("npu1", "S2MM", 0, 1, 1, 16),
        shim("npu1", "MM2S", 0, 0, 0, x.size),
        sync(0, "S2MM", 0),
    ]
    for i in range(1, 6):
        program += [
            shim("npu1", "S2MM", 0, 1, 1, 16, offset_bytes=64 * i),
            full,
            sync(0, "S2MM", 0),
        ]
    npu.run(words("npu1", *program), [x, y])
    np.testing.assert_array_equal(y, np.broadcast_to(x[[2, 1]], y.shape))


def test_a_fifth_task_of_a_design_overflows_its_queue():
    second = TWO_TASKS[TWO_TASKS.index("    ^next:") : TWO_TASKS.index("    ^out:")]
    more = [
        second.replace("next:", f"n{i}:").replace("second", f"s{i}")
        .replace("%1", f"%s{i}").replace("bd_id = 1", f"bd_id = {i}")
        .replace("^out", f"^n{i + 1}")
        for i in range(3, 6)
    ]  # fmt: skip
    text = TWO_TASKS.replace(
        second, second.replace("^out", "^n3") + "".join(more).replace("^n6", "^out")
    )
    with pytest.raises(ValueError, match="channel S2MM 0: needs 5, limit 4: tasks in"):
        virtual_npu(text)


# The core fills `y` (4) while the stream moves `turn`, and a channel sends it when
# `sent` is 2.
BY_EQUALITY = """
module {
  aie.device(npu2) {
    %shim = aie.tile(0, 0)
    %core = aie.tile(0, 2)
    %y = aie.buffer(%core) {sym_name = "y", address = 1024 : i32} : memref<4xi32>
    %turn = aie.lock(%core, 0) {init = 0 : i32, sym_name = "turn"}
    %sent = aie.lock(%core, 1) {init = 0 : i32, sym_name = "sent"}
    %done = aie.lock(%core, 2) {init = 0 : i32, sym_name = "done"}
    aie.flow(%core, DMA : 0, %shim, DMA : 0)
    %d = aie.mem(%core) {
      %0 = aie.dma_start(MM2S, 0, ^send, ^end)
    ^send:
      aie.use_lock(%sent, Acquire, 2)
      aie.dma_bd(%y : memref<4xi32>, 0, 4) {bd_id = 0 : i32}
      aie.use_lock(%done, Release, 1)
      aie.next_bd ^end
    ^end:
      aie.end
    }
    %c = aie.core(%core) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %c3 = arith.constant 3 : index
      %seven = arith.constant 7 : i32
      %nine = arith.constant 9 : i32
      memref.store %seven, %y[%c0] : memref<4xi32>
      memref.store %seven, %y[%c1] : memref<4xi32>
      aie.use_lock(%turn, Acquire, 2)
      aie.use_lock(%turn, Acquire, 2)
      memref.store %nine, %y[%c2] : memref<4xi32>
      aie.use_lock(%turn, AcquireGreaterEqual, 2)
      aie.use_lock(%turn, Acquire, 0)
      memref.store %nine, %y[%c3] : memref<4xi32>
      aie.use_lock(%sent, Release, 1)
      aie.use_lock(%sent, Release, 1)
      aie.end
    }
  }
}
"""


def test_acquire_waits_for_equality_and_takes_nothing():
    npu = virtual_npu(BY_EQUALITY)
    y = np.full(4, -1, np.int32)
    drain = shim("npu2", "S2MM", 0, 0, 0, 4)
    turn = tile_address(0, 2, 0x1F000)
    program = [drain, Write(turn, 3), Write(turn, 2), sync(0, "S2MM", 0)]
    npu.run(words("npu2", *program), [y])
    np.testing.assert_array_equal(y, [7, 7, 9, 9])
    npu.reset()
    with pytest.raises(Trap, match=r"lock 0 of core \(0, 2\) 'turn' = 2 \(it is 3\)"):
        npu.run(words("npu2", drain, Write(turn, 3), sync(0, "S2MM", 0)), [y])
