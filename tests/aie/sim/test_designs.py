"""Designs that are no GEMM: the virtual NPU knows nothing of what it runs."""

import numpy as np
import pytest

from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.simulator import Kernel, Trap, VirtualNpu
from xdna.stream.instructions import Sync, Write, encode, tile_address
from xdna.stream.shim_bd import ShimTransfer, operations

# A matrix (8, 6) of i32 is padded with a frame of zeros, broadcast to two cores, which
# add a scalar of their own, and joined in rows of (2, 10, 8). Twice, then all is over.
BROADCAST_AND_JOIN = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %left = aie.tile(0, 2)
    %right = aie.tile(1, 3)
    func.func private @add_i32(memref<80xi32>, memref<80xi32>, i32)
    %in = aie.buffer(%mem) {sym_name = "in", address = 0 : i32} : memref<8x6xi32>
    %out = aie.buffer(%mem) {sym_name = "out", address = 4096 : i32} : memref<10x2x8xi32>
    %in_free = aie.lock(%mem, 0) {init = 1 : i32, sym_name = "in_free"}
    %in_full = aie.lock(%mem, 1) {init = 0 : i32, sym_name = "in_full"}
    %out_free = aie.lock(%mem, 2) {init = 2 : i32, sym_name = "out_free"}
    %out_full = aie.lock(%mem, 3) {init = 0 : i32, sym_name = "out_full"}
    aie.flow(%shim, DMA : 1, %mem, DMA : 0)
    aie.flow(%mem, DMA : 0, %left, DMA : 1)
    aie.flow(%mem, DMA : 0, %right, DMA : 1)
    aie.flow(%left, DMA : 0, %mem, DMA : 1)
    aie.flow(%right, DMA : 0, %mem, DMA : 2)
    aie.flow(%mem, DMA : 1, %shim, DMA : 0)
    aie.shim_dma_allocation @fill(%shim, MM2S, 1)
    aie.shim_dma_allocation @drain(%shim, S2MM, 0)
    %m = aie.memtile_dma(%mem) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^b, repeat_count = 1)
    ^in:
      aie.use_lock(%in_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%in : memref<8x6xi32>, 0, 48) {bd_id = 0 : i32}
      aie.use_lock(%in_full, Release, 1)
      aie.next_bd ^end
    ^b:
      %1 = aie.dma_start(MM2S, 0, ^pad, ^c, repeat_count = 1)
    ^pad:
      aie.use_lock(%in_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%in : memref<8x6xi32>, 0, 80, [<size = 8, stride = 6>,
        <size = 6, stride = 1>], [<const_pad_before = 1, const_pad_after = 1>,
        <const_pad_before = 1, const_pad_after = 1>]) {bd_id = 1 : i32}
      aie.use_lock(%in_free, Release, 1)
      aie.next_bd ^end
    ^c:
      %2 = aie.dma_start(S2MM, 1, ^left, ^d, repeat_count = 1)
    ^left:
      aie.use_lock(%out_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%out : memref<10x2x8xi32>, 0, 80, [<size = 10, stride = 16>,
        <size = 8, stride = 1>]) {bd_id = 24 : i32}
      aie.use_lock(%out_full, Release, 1)
      aie.next_bd ^end
    ^d:
      %3 = aie.dma_start(S2MM, 2, ^right, ^e, repeat_count = 1)
    ^right:
      aie.use_lock(%out_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%out : memref<10x2x8xi32>, 8, 80, [<size = 10, stride = 16>,
        <size = 8, stride = 1>]) {bd_id = 2 : i32}
      aie.use_lock(%out_full, Release, 1)
      aie.next_bd ^end
    ^e:
      %4 = aie.dma_start(MM2S, 1, ^out, ^end, repeat_count = 1)
    ^out:
      aie.use_lock(%out_full, AcquireGreaterEqual, 2)
      aie.dma_bd(%out : memref<10x2x8xi32>, 0, 160) {bd_id = 25 : i32}
      aie.use_lock(%out_free, Release, 2)
      aie.next_bd ^end
    ^end:
      aie.end
    }
LEFT
RIGHT
  }
}
"""  # noqa: E501
ADDER = """
    %x_NAME = aie.buffer(%NAME) {sym_name = "x_NAME", address = 1024 : i32} : memref<80xi32>
    %y_NAME = aie.buffer(%NAME) {sym_name = "y_NAME", address = 2048 : i32} : memref<80xi32>
    %x_free_NAME = aie.lock(%NAME, 0) {init = 1 : i32, sym_name = "x_free_NAME"}
    %x_full_NAME = aie.lock(%NAME, 1) {init = 0 : i32, sym_name = "x_full_NAME"}
    %y_free_NAME = aie.lock(%NAME, 2) {init = 1 : i32, sym_name = "y_free_NAME"}
    %y_full_NAME = aie.lock(%NAME, 3) {init = 0 : i32, sym_name = "y_full_NAME"}
    %d_NAME = aie.mem(%NAME) {
      %0 = aie.dma_start(S2MM, 1, ^in, ^next)
    ^in:
      aie.use_lock(%x_free_NAME, AcquireGreaterEqual, 1)
      aie.dma_bd(%x_NAME : memref<80xi32>, 0, 80) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%x_full_NAME, Release, 1)
      aie.next_bd ^in
    ^next:
      %1 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%y_full_NAME, AcquireGreaterEqual, 1)
      aie.dma_bd(%y_NAME : memref<80xi32>, 0, 80) {bd_id = 1 : i32, next_bd_id = 1 : i32}
      aie.use_lock(%y_free_NAME, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }
    %c_NAME = aie.core(%NAME) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      scf.for %i = %c0 to %c2 step %c1 {
        %round = arith.index_cast %i : index to i32
        %first = arith.constant FIRST : i32
        %scalar = arith.subi %first, %round : i32
        aie.use_lock(%x_full_NAME, AcquireGreaterEqual, 1)
        aie.use_lock(%y_free_NAME, AcquireGreaterEqual, 1)
        func.call @add_i32(%x_NAME, %y_NAME, %scalar) : (memref<80xi32>, memref<80xi32>, i32) -> ()
        aie.use_lock(%x_free_NAME, Release, 1)
        aie.use_lock(%y_full_NAME, Release, 1)
      }
      aie.end
    } {link_with = "add.o"}
"""  # noqa: E501

# The lower core computes into its own memory what the upper one, its northern
# neighbour, takes from there. How many numbers they are is a run-time parameter.
NEIGHBOURS = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %lower = aie.tile(0, 2)
    %upper = aie.tile(0, 3)
    %x = aie.buffer(%lower) {sym_name = "x", address = 1024 : i32} : memref<16xi32>
    %shared = aie.buffer(%lower) {sym_name = "shared", address = 4096 : i32} : memref<4x4xi32>
    %count = aie.buffer(%lower) {sym_name = "count", address = 8192 : i32} : memref<1xi32>
    %y = aie.buffer(%upper) {sym_name = "y", address = 1024 : i32} : memref<16xi32>
    %x_free = aie.lock(%lower, 0) {init = 1 : i32, sym_name = "x_free"}
    %x_full = aie.lock(%lower, 1) {init = 0 : i32, sym_name = "x_full"}
    %shared_free = aie.lock(%lower, 2) {init = 1 : i32, sym_name = "shared_free"}
    %shared_full = aie.lock(%lower, 3) {init = 0 : i32, sym_name = "shared_full"}
    %go = aie.lock(%lower, 4) {init = 0 : i32, sym_name = "go"}
    %y_free = aie.lock(%upper, 0) {init = 1 : i32, sym_name = "y_free"}
    %y_full = aie.lock(%upper, 1) {init = 0 : i32, sym_name = "y_full"}
    aie.flow(%shim, DMA : 0, %lower, DMA : 0)
    aie.flow(%upper, DMA : 0, %shim, DMA : 0)
    aie.shim_dma_allocation @fill(%shim, MM2S, 0)
    aie.shim_dma_allocation @drain(%shim, S2MM, 0)
    %d = aie.mem(%lower) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^end)
    ^in:
      aie.use_lock(%x_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%x : memref<16xi32>, 0, 16) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%x_full, Release, 1)
      aie.next_bd ^in
    ^end:
      aie.end
    }
    %e = aie.mem(%upper) {
      %0 = aie.dma_start(MM2S, 0, ^out, ^end)
    ^out:
      aie.use_lock(%y_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%y : memref<16xi32>, 0, 16) {bd_id = 0 : i32, next_bd_id = 0 : i32}
      aie.use_lock(%y_free, Release, 1)
      aie.next_bd ^out
    ^end:
      aie.end
    }
    %f = aie.core(%lower) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %forever = arith.constant 4294967295 : index
      %three = arith.constant 3 : i32
      %seven = arith.constant -7 : i32
      scf.for %run = %c0 to %forever step %c1 {
        aie.use_lock(%go, AcquireGreaterEqual, 1)
        %n32 = memref.load %count[%c0] : memref<1xi32>
        %n = arith.index_cast %n32 : i32 to index
        scf.for %round = %c0 to %n step %c1 {
          aie.use_lock(%x_full, AcquireGreaterEqual, 1)
          aie.use_lock(%shared_free, AcquireGreaterEqual, 1)
          scf.for %i = %c0 to %c4 step %c1 {
            scf.for %j = %c0 to %c4 step %c1 {
              %row = arith.muli %i, %c4 : index
              %at = arith.addi %row, %j : index
              %v = memref.load %x[%at] : memref<16xi32>
              %tripled = arith.muli %v, %three : i32
              %quotient = arith.divsi %tripled, %seven : i32
              memref.store %quotient, %shared[%j, %i] : memref<4x4xi32>
            }
          }
          aie.use_lock(%x_free, Release, 1)
          aie.use_lock(%shared_full, Release, 1)
        }
      }
      aie.end
    }
    %g = aie.core(%upper) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c4 = arith.constant 4 : index
      %forever = arith.constant 4294967295 : index
      %zero = arith.constant 0 : i32
      scf.for %run = %c0 to %forever step %c1 {
        aie.use_lock(%shared_full, AcquireGreaterEqual, 1)
        aie.use_lock(%y_free, AcquireGreaterEqual, 1)
        scf.for %i = %c0 to %c4 step %c1 {
          scf.for %j = %c0 to %c4 step %c1 {
            %row = arith.muli %i, %c4 : index
            %at = arith.addi %row, %j : index
            %v = memref.load %shared[%i, %j] : memref<4x4xi32>
            %negative = arith.cmpi slt, %v, %zero : i32
            %opposite = arith.subi %zero, %v : i32
            %magnitude = arith.select %negative, %opposite, %v : i32
            memref.store %magnitude, %y[%at] : memref<16xi32>
          }
        }
        aie.use_lock(%shared_free, Release, 1)
        aie.use_lock(%y_full, Release, 1)
      }
      aie.end
    }
  }
}
"""  # noqa: E501


@pytest.fixture(params=["npu1", "npu2"])
def name(request):
    return request.param


def linear(direction, channel, bd_id, argument, num_words, offset_bytes=0):
    return ShimTransfer(
        *(0, direction, channel, bd_id, argument, offset_bytes),
        *((1, 1, 1, num_words), (0, 0, 0, 1), direction == "S2MM"),
    )


def stream(name, *parts):
    npu = device(name)
    operations_of = [
        operations(npu, part) if isinstance(part, ShimTransfer) else [part]
        for part in parts
    ]
    return encode(npu, [one for some in operations_of for one in some])


def test_sample_retiles_and_scales(
    sample_configuration, sample_words, sample_buffers, scale
):
    npu = VirtualNpu(sample_configuration, kernels=[scale])
    x, y = sample_buffers
    for _ in range(2):
        y[...] = 0
        report = npu.run(sample_words, [x, y])
        # Four tiles (16, 8), each read in two column blocks of 8 bf16 = 4 words.
        tiles = x.reshape(2, 16, 2, 8).swapaxes(1, 2).reshape(4, 16, 2, 4)
        expected = 2 * tiles.swapaxes(1, 2).reshape(4, 128).astype(np.float32)
        np.testing.assert_array_equal(y.astype(np.float32), expected)
        assert (report.device, report.kernel_calls, report.macs) == ("npu1_1col", 4, 0)
        assert report.bytes["ddr_read"] == report.bytes["ddr_write"] == 1024


def broadcast_and_join(name, kernel, edit=str):
    adders = {
        side: ADDER.replace("NAME", side.lower()).replace("FIRST", first)
        for side, first in (("LEFT", "100"), ("RIGHT", "-1000"))
    }
    text = BROADCAST_AND_JOIN.replace("DEVICE", name)
    for side, adder in adders.items():
        text = text.replace(side, adder)
    return VirtualNpu(configuration(parse_module(edit(text))), kernels=[kernel])


def adder(function):
    return Kernel("add_i32", function, "rw-", [np.int32, np.int32, None], 50, macs=7)


def test_broadcast_pads_and_joins(name, rng):
    def add(x, y, scalar):
        y[...] = x + scalar

    npu = broadcast_and_join(name, adder(add))
    x = rng.integers(-1000, 1000, (2, 8, 6)).astype(np.int32)
    y = np.full((2, 10, 2, 8), -1, np.int32)
    words = stream(
        name,
        linear("S2MM", 0, 0, 1, 320),
        linear("MM2S", 1, 1, 0, 48),
        linear("MM2S", 1, 2, 0, 48, offset_bytes=192),
        Sync(0, 0, "S2MM", 0),
    )
    report = npu.run(words, [x, y])
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    scalars = np.array([[100, -1000], [99, -1001]])[:, None, :, None]
    np.testing.assert_array_equal(y, padded[:, :, None] + scalars)
    assert (report.kernel_calls, report.macs) == (4, 28)
    assert report.bytes["l2_read"] == 4 * (2 * 80 + 320)
    assert report.bytes["l1_write"] == 4 * 2 * 2 * 80
    # The chains have ended: nothing takes a third matrix.
    with pytest.raises(Trap, match=r"memtile \(0, 1\) MM2S 1 waits for a task"):
        npu.run(words, [x, y])
    npu.reset()
    assert npu.run(words, [x, y]).cycles == report.cycles


SELECTED = "%magnitude = arith.select %negative, %opposite, %v : i32"
BY_MASK = """%mask = arith.extsi %negative : i1 to i32
            %flipped = arith.xori %v, %mask : i32
            %magnitude = arith.subi %flipped, %mask : i32"""


@pytest.mark.parametrize("magnitude", [SELECTED, BY_MASK], ids=["select", "mask"])
def test_cores_share_memory_and_compute(name, magnitude, rng):
    assert SELECTED in NEIGHBOURS
    text = NEIGHBOURS.replace("DEVICE", name).replace(SELECTED, magnitude)
    npu = VirtualNpu(configuration(parse_module(text)))
    count, go = tile_address(0, 2, 8192), tile_address(0, 2, 0x1F040)
    for rounds in 1, 3, 2:
        x = rng.integers(-(1 << 30), 1 << 30, (rounds, 4, 4)).astype(np.int32)
        y = np.full_like(x, -1)
        words = stream(
            name,
            *(linear("S2MM", 0, i, 1, 16, 64 * i) for i in range(rounds)),
            *(linear("MM2S", 0, 8 + i, 0, 16, 64 * i) for i in range(rounds)),
            Write(count, rounds),
            Write(go, 1),
            *[Sync(0, 0, "S2MM", 0)] * rounds,
        )
        report = npu.run(words, [x, y])
        with np.errstate(over="ignore"):
            tripled = x * np.int32(3)  # wraps
        quotients = np.trunc(tripled.astype(np.float64) / -7).astype(np.int64)
        np.testing.assert_array_equal(y, np.abs(quotients).swapaxes(1, 2))
        assert report.kernel_calls == 0


def test_rows_that_two_channels_write_at_once_are_a_race():
    def overlap(text):
        return text.replace("memref<10x2x8xi32>, 8, 80", "memref<10x2x8xi32>, 7, 80")

    npu = broadcast_and_join("npu1", adder(np.add), overlap)
    x, y = np.zeros((2, 8, 6), np.int32), np.zeros((2, 10, 2, 8), np.int32)
    with pytest.raises(
        Trap,
        match=r"memtile \(0, 1\) S2MM 2 BD 2 writes bytes 4124 to \d+ of memtile "
        r"\(0, 1\) while memtile \(0, 1\) S2MM 1 writes there",
    ):
        npu.run(stream("npu1", *failing_transfers()), [x, y])


@pytest.mark.parametrize(
    ("lock", "what"),
    [
        (
            "x_free",
            r"core \(0, 2\) reads byte \d+ of buffer x while core \(0, 2\) S2MM",
        ),
        (
            "y_full",
            r"core \(0, 3\) MM2S 0 BD 0 reads byte 1024 of core \(0, 3\), which ",
        ),
    ],
)
def test_dma_that_does_not_wait_for_a_core(lock, what):
    text = NEIGHBOURS.replace("DEVICE", "npu1").replace(
        f"aie.use_lock(%{lock}, AcquireGreaterEqual, 1)\n      aie.dma_bd", "aie.dma_bd"
    )
    npu = VirtualNpu(configuration(parse_module(text)))
    x, y = np.zeros((3, 16), np.int32), np.zeros((3, 16), np.int32)
    fills = [linear("MM2S", 0, 8 + i, 0, 16, 64 * i) for i in range(3)]
    words = stream(
        "npu1",
        linear("S2MM", 0, 0, 1, 48),
        *fills,
        Write(tile_address(0, 2, 8192), 3),
        Write(tile_address(0, 2, 0x1F040), 1),
        Sync(0, 0, "S2MM", 0),
    )
    with pytest.raises(Trap, match=what):
        npu.run(words, [x, y])


def test_iterations_of_a_bd_go_on_from_push_to_push(name, rng):
    """Its position is a part of the BD, which only writing it sets back."""
    text = NEIGHBOURS.replace("DEVICE", name)
    npu = VirtualNpu(configuration(parse_module(text)))
    x = rng.integers(-1000, 1000, (4, 4, 4)).astype(np.int32)
    y = np.full_like(x, -1)
    fill = ShimTransfer(0, "MM2S", 0, 8, 0, 0, (4, 1, 1, 16), (16, 0, 0, 1))
    *write, push = operations(device(name), fill)
    half = push._replace(value=push.value & ~0xFF0000 | 1 << 16)
    words = stream(
        name,
        *(linear("S2MM", 0, i, 1, 16, 64 * i) for i in range(4)),
        *(*write, half, half),
        Write(tile_address(0, 2, 8192), 4),
        Write(tile_address(0, 2, 0x1F040), 1),
        *[Sync(0, 0, "S2MM", 0)] * 4,
    )
    npu.run(words, [x, y])
    expected = np.abs(np.trunc(x * 3 / -7)).swapaxes(1, 2)
    np.testing.assert_array_equal(y, expected)


def failing_transfers():
    drain, fill = linear("S2MM", 0, 0, 1, 320), linear("MM2S", 1, 1, 0, 96)
    return drain, fill, Sync(0, 0, "S2MM", 0)


def test_kernel_that_raises_is_the_cause_of_a_trap(rng):
    def fail(x, y, scalar):
        raise OverflowError(f"not {scalar}")

    npu = broadcast_and_join("npu1", adder(fail))
    x, y = np.zeros((2, 8, 6), np.int32), np.zeros((2, 10, 2, 8), np.int32)
    words = stream("npu1", *failing_transfers())
    with pytest.raises(Trap, match=r"core \(\d, \d\) calls add_i32: the ker") as error:
        npu.run(words, [x, y])
    assert isinstance(error.value.__cause__, OverflowError)
    with pytest.raises(Trap, match="since its last trap; reset it") as error:
        npu.run(words, [x, y])
    assert error.value.__cause__ is None


def test_interrupt_in_a_kernel_is_no_trap():
    def interrupt(x, y, scalar):
        raise KeyboardInterrupt

    npu = broadcast_and_join("npu1", adder(interrupt))
    x, y = np.zeros((2, 8, 6), np.int32), np.zeros((2, 10, 2, 8), np.int32)
    words = stream("npu1", *failing_transfers())
    with pytest.raises(KeyboardInterrupt):
        npu.run(words, [x, y])


def test_kernels_that_do_not_fit_are_refused(sample_configuration, scale):
    with pytest.raises(ValueError, match="scale_bf16, a kernel that is not registered"):
        VirtualNpu(sample_configuration)
    three = Kernel("scale_bf16", scale.function, "rwr", [*scale.dtypes, "u1"], 1)
    with pytest.raises(ValueError, match="with 2 arguments, it has 3"):
        VirtualNpu(sample_configuration, kernels=[three])
    with pytest.raises(ValueError, match="a dtype for each access, got 2 accesses and"):
        VirtualNpu("", kernels=[Kernel("k", scale.function, "rw", ["u1"], 1)])


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("type bf16 1 128", "type f32 1 128", "of 512 bytes, buffer in_a has 256"),
        ("buffer 0 2 1024 256", "buffer 0 2 65500 256", "outside the memory of core"),
        ("bd 0 1 0 0 1 0 64 1", "bd 0 1 0 0 1 0 64 9", "leads to BD 9, which is not"),
        ("bd 0 1 0", "bd 0 0 0", r"BDs of shim \(0, 0\) are written by the stream"),
        ("start 0 1 0 0 0", "start 0 1 0 0 7", "starts BD 7, which is not defined"),
        ("start 0 1 0 0", "start 0 1 0 6", "has no such channel 6"),
        ("route 0 0 0", "route 9 0 0", r"npu1_1col has no tile \(9, 0\)"),
        ("lock 0 2 0 2", "lock 0 2 16 2", "has no lock 16 of 2"),
        ("param burst_code", "param burst", "lacks param burst_code"),
        ("jax-npu", "npu", "a configuration begins with"),
        ("kernel scale_bf16 2 0 0", "kernel scale_bf16 2 0 -1", "which is a buffer to"),
    ],
)
def test_inconsistent_configuration_is_refused(
    sample_configuration, scale, old, new, what
):
    text = sample_configuration.replace(old, new, 1)
    assert text != sample_configuration
    with pytest.raises(ValueError, match=what):
        VirtualNpu(text, kernels=[scale])


def test_buffers_must_be_what_a_device_can_take(
    sample_configuration, sample_words, sample_buffers, scale
):
    npu = VirtualNpu(sample_configuration, kernels=[scale])
    x, y = sample_buffers
    bytes = np.zeros(x.nbytes + 2, np.uint8)
    for wrong in x.T, np.broadcast_to(x[:1], x.shape), bytes[2:]:
        with pytest.raises(ValueError, match="buffer 0 must be contiguous, writeable"):
            npu.run(sample_words, [wrong, y])


def test_names_with_quotes_stay_json(
    sample_configuration, sample_words, sample_buffers, scale
):
    text = sample_configuration.replace(" go\n", ' g"o\\\n').replace(
        " in_full\n", " \"in'\n"
    )
    npu = VirtualNpu(text, kernels=[scale])
    npu.start_trace()
    report = npu.run(sample_words, sample_buffers)
    assert {'g"o\\', "\"in'"} <= report.usage["core (0, 2)"].stalls.keys()
    assert '"g\\"o\\\\"' in npu.trace()
