"""Designs other than GEMMs: the virtual NPU knows nothing of what it runs.

The designs are in `designs/`; words in capitals in them are replaced.
"""

from pathlib import Path

import numpy as np
import pytest

from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.load.design_text import read_design
from xdna.simulator import Kernel, Trap, VirtualNpu
from xdna.stream.instructions import Sync, Write, encode, tile_address
from xdna.stream.shim_bd import ShimTransfer, operations

DESIGNS = Path(__file__).parent / "designs"
# A matrix (8, 6) of i32 is padded with a frame of zeros and broadcast to two cores.
# Each adds a scalar of its own, and the results are joined row by row as (10, 2, 8).
# That happens twice; then all chains and cores have ended.
BROADCAST_AND_JOIN = (DESIGNS / "broadcast_and_join.mlir").read_text()
ADDER = (DESIGNS / "adder.mlir").read_text()

# The lower core computes into its own memory, from which the upper one, its northern
# neighbour, reads. How many matrices it computes is a run-time parameter.
NEIGHBOURS = (DESIGNS / "neighbours.mlir").read_text()


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
    # The chains have ended, so nothing takes a third matrix.
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
    message = (
        r"core \(\d, \d\) calls add_i32: OverflowError: not \d+ \(test_designs.py, "
    )
    with pytest.raises(Trap, match=message + r"line \d+: raise Overflow") as error:
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


INITIAL_VALUES = """
aie.device(DEVICE) @other {
}
aie.device(DEVICE) @chosen {
  %shim = aie.tile(0, 0)
  %mem = aie.tile(0, 1)
  %kept = aie.buffer(%mem) {address = 64 : i32} : memref<4xi32> = dense<[7, -8, 9, 4]>
  aie.flow(%mem, DMA : 3, %shim, DMA : 0)
  aie.flow(%shim, DMA : 0, %mem, DMA : 0)
  %m = aie.memtile_dma(%mem) {
    %0 = aie.dma(MM2S, 3) {loop = false} [{
      aie.dma_bd(%kept : memref<4xi32>, 1, 3) {bd_id = 24 : i32}
    }]
    aie.end
  }
  aie.runtime_sequence @any(%y : memref<3xi32>) {
    who(knows)
  }
}
"""


def test_buffers_hold_their_initial_values_after_loading_and_after_a_reset(name):
    text = INITIAL_VALUES.replace("DEVICE", name)
    npu = VirtualNpu(configuration(read_design(text, design="chosen")))
    words = stream(name, linear("S2MM", 0, 0, 0, 3), Sync(0, 0, "S2MM", 0))
    for _ in range(2):
        y = np.zeros(3, np.int32)
        npu.run(words, [y])
        np.testing.assert_array_equal(y, [-8, 9, 4])
        npu.reset()
