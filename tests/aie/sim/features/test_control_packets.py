"""Control packets, which write and read registers through a tile's control port."""

import numpy as np
import pytest

from xdna.simulator import Trap
from xdna.stream.instructions import BlockWrite, Write, tile_address

from .streams import bits, core_bd, shim, sync, virtual_npu, words

# Packets of ID 1 and 2 go to the control ports of a memtile and a core, whose answers
# are packets of ID 3 and 4. The core's DMA has no program.
DESIGN = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core = aie.tile(0, 3)
    %sum = aie.buffer(%core) {sym_name = "sum", address = 1024 : i32} : memref<4xi32>
    %go = aie.lock(%core, 2) {init = 0 : i32, sym_name = "go"}
    %done = aie.lock(%core, 3) {init = 0 : i32, sym_name = "done"}
    aie.packet_flow(1) {
      aie.packet_source<%shim, DMA : 0>
      aie.packet_dest<%mem, TileControl : 0>
    }
    aie.packet_flow(2) {
      aie.packet_source<%shim, DMA : 0>
      aie.packet_dest<%core, TileControl : 0>
    }
    aie.packet_flow(3) {
      aie.packet_source<%mem, TileControl : 0>
      aie.packet_dest<%shim, DMA : 0>
    }
    aie.packet_flow(4) {
      aie.packet_source<%core, TileControl : 0>
      aie.packet_dest<%shim, DMA : 0>
    }
    aie.flow(%core, DMA : 1, %shim, DMA : 1)
    %c = aie.core(%core) {
      %c0 = arith.constant 0 : index
      %c3 = arith.constant 3 : index
      aie.use_lock(%go, AcquireGreaterEqual, 2)
      %a = memref.load %sum[%c0] : memref<4xi32>
      %b = memref.load %sum[%c3] : memref<4xi32>
      %both = arith.addi %a, %b : i32
      memref.store %both, %sum[%c0] : memref<4xi32>
      aie.use_lock(%done, Release, 5)
      aie.end
    }
  }
}
"""


def control(address, operation, number, answer_id=0):
    word = bits((address, 0, 20), (number - 1, 20, 2), (operation, 22, 2))
    word |= answer_id << 24
    return word | (bin(word).count("1") % 2 == 0) << 31


def write(address, *data):
    return [control(address, 0, len(data)), *data]


def read(address, number, answer_id):
    return [control(address, 1, number, answer_id)]


class Packets:
    """The shim's packets, and the words that it takes them from."""

    def __init__(self, name):
        self.name, self.words, self.operations = name, [], []

    def send(self, id, content):
        """To the port of that ID; the last word of a packet has been taken."""
        at, count = len(self.words), len(content)
        self.words += [word & 0xFFFFFFFF for word in content]
        transfer = shim(
            self.name, "MM2S", 0, 7, 0, count, offset_bytes=4 * at, token=True
        )
        data = list(transfer[0].data)
        data[2] |= 1 << 30 | id << 19 | 1 << 16
        bd = BlockWrite(transfer[0].address, tuple(data))
        self.operations += [bd, *transfer[1:], sync(0, "MM2S", 0)]


@pytest.fixture(params=["npu1", "npu2"])
def name(request):
    return request.param


def test_packets_write_memory_locks_bds_and_queues_and_read_them(name, rng):
    npu = virtual_npu(DESIGN.replace("DEVICE", name))
    x = rng.integers(-1000, 1000, 4, dtype=np.int32)
    answers, y = np.full(4 + 1 + 2, -1, np.int32), np.full(4, -1, np.int32)
    packets = Packets(name)
    packets.send(2, write(1024, *x.tolist()))
    packets.send(1, write(0x7FFF0, 11, 22))
    packets.send(2, write(0x1F020, 2))  # the lock `go`
    *_, bd = core_bd((0, 3), 6, 1024, 4, acquire=(-5, 3))
    for i in range(0, 6, 2):
        packets.send(2, write(0x1D000 + 32 * 6 + 4 * i, *bd[i : i + 2]))
    packets.send(2, write(0x1DE1C, 6))  # channel 1 sends BD 6
    final = [sync(0, "S2MM", 1)]
    after = Packets(name)
    after.words = packets.words
    # Two reads in one packet of the stream, and one of another tile.
    after.send(2, read(1024, 4, 4) + read(0x1F030, 1, 4))
    after.send(1, read(0x7FFF0, 2, 3))
    program = [
        shim(name, "S2MM", 0, 0, 1, answers.size),
        shim(name, "S2MM", 1, 1, 2, 4),
        packets.operations,
        final,
        after.operations,
        sync(0, "S2MM", 0),
    ]
    stream = words(name, *program)
    sent = np.array(after.words, np.uint32)
    npu.run(stream, [sent, answers, y])
    expected = x.copy()
    expected[0] += x[3]
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(answers, [*expected, 0, 11, 22])


@pytest.mark.parametrize(
    ("id", "content", "what"),
    [
        (2, [control(1024, 2, 1), 0], "a control packet of operation 2: only writes"),
        (2, [control(1024, 0, 4), 1, 2], "control packet that ends after 3 of 5 words"),
        (2, read(1024, 1, 4), r"reads byte 1024 of core \(0, 3\), which nothing has"),
        (1, read(0xA0000, 1, 3), r"reads register 0xa0000 of memtile \(0, 1\): only"),
        (
            2,
            write(0x1F020, 64),
            r"core \(0, 3\) control port: lock 2 of core \(0, 3\) ",
        ),
        (1, write(0xB0000, 1), r"memtile \(0, 1\) control port: register 0xb0000 of m"),
        (
            1,
            [*write(0, 5), *read(0, 1, 9)],
            "answers are packets of ID 9, which no pac",
        ),
    ],
)
def test_packets_that_silicon_does_not_execute(id, content, what):
    npu = virtual_npu(DESIGN.replace("DEVICE", "npu1"))
    packets = Packets("npu1")
    packets.send(id, content)
    with pytest.raises(Trap, match=what):
        npu.run(words("npu1", packets.operations), [np.array(packets.words, np.uint32)])


def test_packets_need_their_words(name):
    npu = virtual_npu(DESIGN.replace("DEVICE", name), only_timed=True)
    packets = Packets(name)
    packets.send(2, write(1024, 0))
    with pytest.raises(
        Trap, match="gets a control packet, whose words a run that only"
    ):
        npu.run(words(name, packets.operations), [np.array(packets.words, np.uint32)])


def test_control_ports_take_no_circuit():
    text = DESIGN.replace("DEVICE", "npu1")
    text = text.replace("DMA : 1, %shim, DMA : 1", "DMA : 1, %mem, TileControl : 0")
    with pytest.raises(
        ValueError, match="takes packets only, and a circuit ends there"
    ):
        virtual_npu(text)


# A core's and a memtile's trace units send to a channel of the shim, beside a circuit.
TRACES = """
module {
  aie.device(npu1) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    aie.flow(%shim, DMA : 0, %shim, DMA : 0)
    aie.packet_flow(1) {
      aie.packet_source<%mem, Trace : 0>
      aie.packet_dest<%shim, DMA : 1>
    } {keep_pkt_header = true}
    aie.packet_flow(2) {
      aie.packet_source<%shim, Trace : 0>
      aie.packet_dest<%shim, DMA : 1>
    } {keep_pkt_header = true}
  }
}
"""


def test_a_trace_buffer_stays_as_it_was_and_nobody_waits_for_it():
    npu = virtual_npu(TRACES)
    x, y, trace = np.arange(8), np.zeros(8, np.int64), np.full(4096, 7, np.int32)
    program = [
        shim("npu1", "S2MM", 1, 15, 2, 4096, token=False),
        shim("npu1", "S2MM", 0, 0, 1, 16),
        shim("npu1", "MM2S", 0, 1, 0, 16),
        sync(0, "S2MM", 0),
    ]
    for _ in range(6):  # more often than its queue is long
        y[...] = 0
        report = npu.run(words("npu1", *program), [x, y, trace])
        notice = "shim (0, 0) S2MM 1 BD 15 waits for traces, which are not recorded"
        assert [one for one in report.notices if one.startswith(notice)]
        np.testing.assert_array_equal(y, x)
        assert (trace == 7).all()
    with pytest.raises(Trap, match=r"for a token, for shim \(0, 0\) S2MM 1 BD 15"):
        npu.run(words("npu1", *program, sync(0, "S2MM", 1)), [x, y, trace])


def test_trace_units_only_send():
    text = TRACES.replace("_dest<%shim, DMA : 1>", "_dest<%shim, Trace : 0>", 1)
    with pytest.raises(ValueError, match="Trace ports out of its switch"):
        virtual_npu(text)


def test_registers_behind_a_control_port_are_those_of_the_stream():
    """The stream's own message begins with its word, also after a packet's."""
    npu = virtual_npu(DESIGN.replace("DEVICE", "npu1"))
    packets = Packets("npu1")
    packets.send(1, write(0, 5))
    wrong = Write(tile_address(0, 1, 0xB0000), 0)
    with pytest.raises(Trap, match=r"^word \d+: register 0xb0000"):
        npu.run(
            words("npu1", packets.operations, wrong), [np.array(packets.words, "u4")]
        )
