"""Words that cores' programs stream, and values that their kernels cascade."""

import numpy as np
import pytest

from xdna.simulator import Kernel, Trap

from .streams import shim, sync, virtual_npu, words

# The shim's words pass the lower core, which triples them, and the upper one, which
# adds them up and sends all partial sums back. No tile has a DMA program.
PIPE = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(1, 0)
    %lower = aie.tile(1, 2)
    %upper = aie.tile(2, 5)
    %sum = aie.buffer(%upper) {sym_name = "sum", address = 1024 : i32} : memref<1xi32>
    aie.flow(%shim, DMA : 1, %lower, Core : 0)
    aie.flow(%lower, Core : 0, %upper, Core : 0)
    aie.flow(%upper, Core : 0, %shim, DMA : 0)
    %l = aie.core(%lower) {
      %port = arith.constant 0 : i32
      %three = arith.constant 3 : i32
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %forever = arith.constant 4294967295 : index
      scf.for %i = %c0 to %forever step %c1 {
        %x = aie.get_stream(%port : i32) : i32
        %y = arith.muli %x, %three : i32
        aie.put_stream(%port : i32, %y : i32)
      }
      aie.end
    }
    %u = aie.core(%upper) {
      %port = arith.constant 0 : i32
      %zero = arith.constant 0 : i32
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %forever = arith.constant 4294967295 : index
      memref.store %zero, %sum[%c0] : memref<1xi32>
      scf.for %i = %c0 to %forever step %c1 {
        %x = aie.get_stream(%port : i32) : i32
        %before = memref.load %sum[%c0] : memref<1xi32>
        %after = arith.addi %before, %x : i32
        memref.store %after, %sum[%c0] : memref<1xi32>
        aie.put_stream(%port : i32, %after : i32)
      }
      aie.end
    }
  }
}
"""


@pytest.fixture(params=["npu1", "npu2"])
def name(request):
    return request.param


def pipe(name, num_in, num_out):
    return words(
        name,
        shim(name, "S2MM", 0, 0, 1, num_out, column=1),
        shim(name, "MM2S", 1, 1, 0, num_in, column=1),
        sync(1, "S2MM", 0),
    )


def test_words_pass_cores_in_their_order(name, rng):
    npu = virtual_npu(PIPE.replace("DEVICE", name))
    x = rng.integers(-(1 << 31), 1 << 31, 600, dtype=np.int64).astype(np.int32)
    y = np.full_like(x, -1)
    npu.run(pipe(name, 600, 600), [x, y])
    with np.errstate(over="ignore"):
        sums = np.cumsum(3 * x, dtype=np.int32)
    np.testing.assert_array_equal(y, sums)
    npu.run(pipe(name, 600, 600), [x, y])  # the sum goes on
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, sums + sums[-1])


def test_cores_that_wait_for_words_are_named():
    npu = virtual_npu(PIPE.replace("DEVICE", "npu1"))
    x, y = np.ones(8, np.int32), np.zeros(9, np.int32)
    message = (
        r"token, for shim \(1, 0\) S2MM 0 BD 0 waits for its stream, for core \(2, 5\) "
        r"waits for its stream, for core \(1, 2\) waits for its stream, for shim "
        r"\(1, 0\) MM2S 1 waits for a task, for controller again"
    )
    with pytest.raises(Trap, match=message):
        npu.run(pipe("npu1", 8, 9), [x, y])
    timed = virtual_npu(PIPE.replace("DEVICE", "npu1"), only_timed=True)
    with pytest.raises(Trap, match="moves words, which a run that only takes its time"):
        timed.run(pipe("npu1", 8, 8), [x, y])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("%lower, Core : 0, %upper, Core : 0", "%lower, Core : 0, %upper, DMA : 0",
         r"core \(2, 5\) gets a word, and no flow brings it"),
        ("%lower, Core : 0, %upper, Core : 0", "%lower, DMA : 0, %upper, Core : 0",
         r"core \(1, 2\) puts a word, and no flow takes it"),
    ],
)  # fmt: skip
def test_cores_without_a_flow(old, new, what):
    npu = virtual_npu(PIPE.replace("DEVICE", "npu1").replace(old, new))
    with pytest.raises(Trap, match=what):
        npu.run(pipe("npu1", 8, 8), [np.ones(8, np.int32), np.zeros(8, np.int32)])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("%port = arith.constant 0", "%port = arith.constant 1", "needs stream 0, go"),
        ("%x = aie.get_stream(%port : i32) : i32",
         "%wide = aie.get_stream(%port : i32) : i128\n"
         "        %x = arith.trunci %wide : i128 to i32",
         "aie.get_stream needs an i32, got i128"),
    ],
)  # fmt: skip
def test_streams_that_a_core_cannot_have(old, new, what):
    text = PIPE.replace("DEVICE", "npu1").replace(old, new, 1)
    with pytest.raises(ValueError, match=what):
        virtual_npu(text)


# Three cores, from west to east and then south, add their rows of `x` (3, 32) up.
CASCADE = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %first = aie.tile(0, 3)
    %middle = aie.tile(1, 3)
    %last = aie.tile(1, 2)
    FIRST
    MIDDLE
    LAST
    aie.flow(%shim, DMA : 0, %first, DMA : 0)
    aie.flow(%shim, DMA : 1, %middle, DMA : 0)
    aie.flow(%south, DMA : 0, %last, DMA : 0)
    aie.flow(%last, DMA : 0, %shim, DMA : 0)
    %south = aie.tile(1, 0)
    aie.configure_cascade(%first, North, East)
    aie.configure_cascade(%middle, West, South)
    aie.configure_cascade(%last, North, South)
    func.func private @add_first(memref<32xi32>)
    func.func private @add_middle(memref<32xi32>)
    func.func private @add_last(memref<32xi32>)
  }
}
"""
ADD = """
    %NAME_x = aie.buffer(%NAME) {sym_name = "NAME_x", address = 1024 : i32} : memref<32xi32>
    %NAME_free = aie.lock(%NAME, 0) {init = 1 : i32, sym_name = "NAME_free"}
    %NAME_full = aie.lock(%NAME, 1) {init = 0 : i32, sym_name = "NAME_full"}
    %NAME_done = aie.lock(%NAME, 2) {init = 0 : i32, sym_name = "NAME_done"}
    %NAME_dma = aie.mem(%NAME) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^next)
    ^in:
      aie.use_lock(%NAME_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%NAME_x : memref<32xi32>, 0, 32) {bd_id = 0 : i32}
      aie.use_lock(%NAME_full, Release, 1)
      aie.next_bd ^in
    ^next:
      %1 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%NAME_done, AcquireGreaterEqual, 1)
      aie.dma_bd(%NAME_x : memref<32xi32>, 0, 32) {bd_id = 1 : i32}
      aie.use_lock(%NAME_free, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }
    %NAME_core = aie.core(%NAME) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %forever = arith.constant 4294967295 : index
      scf.for %i = %c0 to %forever step %c1 {
        aie.use_lock(%NAME_full, AcquireGreaterEqual, 1)
        func.call @add_NAME(%NAME_x) : (memref<32xi32>) -> ()
        aie.use_lock(%NAME_GIVES, Release, 1)
      }
      aie.end
    }
"""  # noqa: E501


def first(x, out):
    out[...] = x


def middle(x, before, out):
    out[...] = x + before


def last(x, before):
    x += before


ROW = np.int32, 32
KERNELS = [
    Kernel("add_first", first, "r", [np.int32], 40, cascade_out=ROW),
    Kernel("add_middle", middle, "r", [np.int32], 40, cascade_in=ROW, cascade_out=ROW),
    Kernel("add_last", last, "b", [np.int32], 40, cascade_in=ROW),
]


def cascade(name, kernels=KERNELS):
    text = CASCADE.replace("DEVICE", name)
    for core, gives in ("first", "free"), ("middle", "free"), ("last", "done"):
        add = ADD.replace("GIVES", gives).replace("NAME", core)
        text = text.replace(core.upper() + "\n", add)
    # Tiles stand before their uses.
    south = "    %south = aie.tile(1, 0)\n"
    text = text.replace(south, "").replace("    %first =", south + "    %first =", 1)
    return virtual_npu(text, kernels=kernels)


def cascade_words(name, num_rows):
    size = 32 * num_rows
    return words(
        name,
        shim(name, "S2MM", 0, 0, 1, size),
        shim(name, "MM2S", 0, 1, 0, size),
        shim(name, "MM2S", 1, 2, 0, size, offset_bytes=4 * size),
        shim(name, "MM2S", 0, 3, 0, size, offset_bytes=8 * size, column=1),
        sync(0, "S2MM", 0),
    )


def test_kernels_cascade_their_sums(name, rng):
    npu = cascade(name)
    x = rng.integers(-1000, 1000, (3, 5, 32), dtype=np.int32)
    y = np.full((5, 32), -1, np.int32)
    report = npu.run(cascade_words(name, 5), [x, y])
    np.testing.assert_array_equal(y, x.sum(axis=0))
    assert report.kernel_calls == 15


def test_cascades_that_do_not_fit_their_kernels():
    ends = [
        *KERNELS[:2],
        Kernel("add_last", last, "b", [np.int32], 40, cascade_out=ROW),
    ]
    with pytest.raises(
        ValueError, match=r"core \(1, 2\) calls add_last, which uses a c"
    ):
        cascade("npu1", ends)
    part = [Kernel("add_first", first, "r", [np.int32], 40, cascade_out=(np.int32, 8))]
    with pytest.raises(
        ValueError, match="cascade_out of whole vectors of 64 bytes, got"
    ):
        cascade("npu1", part)
    silent = [Kernel("add_first", lambda x: None, "r", [np.int32], 40), *KERNELS[1:]]
    x, y = np.zeros((3, 32), np.int32), np.zeros(32, np.int32)
    with pytest.raises(
        Trap, match=r"core \(1, 3\) waits for its cascade, for core \(0,"
    ):
        cascade("npu1", silent).run(cascade_words("npu1", 1), [x, y])
