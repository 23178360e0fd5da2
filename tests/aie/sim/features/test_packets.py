"""Packet-switched data: one sender for several receivers, and several for one."""

import re

import numpy as np
import pytest

from xdna.simulator import Trap
from xdna.stream.instructions import BlockWrite

from .streams import shim, sync, virtual_npu, words

# What the shim sends with ID 1 goes to the upper core, with ID 2 to the lower one, and
# with ID 3 to both. They send back what they got as packets of ID 6 and 7, both to one
# channel, which gets headers too.
THERE_AND_BACK = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(1, 0)
    %lower = aie.tile(1, 2)
    %upper = aie.tile(1, 4)
    aie.packet_flow(1) {
      aie.packet_source<%shim, DMA : 0>
      aie.packet_dest<%upper, DMA : 1>
    }
    aie.packet_flow(2) {
      aie.packet_source<%shim, DMA : 0>
      aie.packet_dest<%lower, DMA : 1>
    }
    aie.packet_flow(3) {
      aie.packet_source<%shim, DMA : 0>
      aie.packet_dest<%upper, DMA : 1>
      aie.packet_dest<%lower, DMA : 1>
    }
    aie.packet_flow(6) {
      aie.packet_source<%upper, DMA : 0>
      aie.packet_dest<%shim, DMA : 1>
    } {keep_pkt_header = true}
    aie.packet_flow(7) {
      aie.packet_source<%lower, DMA : 0>
      aie.packet_dest<%shim, DMA : 1>
    } {keep_pkt_header = true}
    LOWER
    UPPER
  }
}
"""
ECHO = """
    %NAME_x = aie.buffer(%NAME) {sym_name = "NAME_x", address = 1024 : i32} : memref<2x16xi32>
    %NAME_free = aie.lock(%NAME, 0) {init = 2 : i32, sym_name = "NAME_free"}
    %NAME_full = aie.lock(%NAME, 1) {init = 0 : i32, sym_name = "NAME_full"}
    %NAME_dma = aie.mem(%NAME) {
      %0 = aie.dma_start(S2MM, 1, ^in0, ^next)
    ^in0:
      aie.use_lock(%NAME_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%NAME_x : memref<2x16xi32>, 0, 16) {bd_id = 0 : i32}
      aie.use_lock(%NAME_full, Release, 1)
      aie.next_bd ^in1
    ^in1:
      aie.use_lock(%NAME_free, AcquireGreaterEqual, 1)
      aie.dma_bd(%NAME_x : memref<2x16xi32>, 16, 16) {bd_id = 1 : i32}
      aie.use_lock(%NAME_full, Release, 1)
      aie.next_bd ^in0
    ^next:
      %1 = aie.dma_start(MM2S, 0, ^out0, ^end)
    ^out0:
      aie.use_lock(%NAME_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%NAME_x : memref<2x16xi32>, 0, 16) {bd_id = 2 : i32, packet = #aie.packet_info<pkt_type = 5, pkt_id = ID>}
      aie.use_lock(%NAME_free, Release, 1)
      aie.next_bd ^out1
    ^out1:
      aie.use_lock(%NAME_full, AcquireGreaterEqual, 1)
      aie.dma_bd(%NAME_x : memref<2x16xi32>, 16, 16) {bd_id = 3 : i32, packet = #aie.packet_info<pkt_type = 5, pkt_id = ID>}
      aie.use_lock(%NAME_free, Release, 1)
      aie.next_bd ^out0
    ^end:
      aie.end
    }
"""  # noqa: E501


def there_and_back(name, **options):
    text = THERE_AND_BACK.replace("DEVICE", name)
    for core, id in ("lower", 7), ("upper", 6):
        echo = ECHO.replace("NAME", core).replace("ID>", f"{id}>")
        text = text.replace(core.upper(), echo)
    return virtual_npu(text, **options)


def packet(name, bd_id, argument, num_words, offset_bytes, id=None, token=False):
    """A shim's packet; without an ID, its first word is its header."""
    transfer = shim(
        *(name, "MM2S", 0, bd_id, argument, num_words),
        column=1,
        offset_bytes=offset_bytes,
        token=token,
    )
    if id is None:
        return transfer
    data = list(transfer[0].data)
    data[2] |= 1 << 30 | id << 19
    return [BlockWrite(transfer[0].address, tuple(data)), *transfer[1:]]


def header(id, type, column, row):
    word = id | type << 12 | row << 16 | column << 21
    return word | (bin(word).count("1") % 2 == 0) << 31


@pytest.fixture(params=["npu1", "npu2"])
def name(request):
    return request.param


def packets_of(y, id):
    """The packets of a core among those received, (number, 16), without headers."""
    rows = y.view(np.uint32).reshape(-1, 17)
    expected = header(id, 5, 1, {6: 4, 7: 2}[id])
    return rows[rows[:, 0] == expected][:, 1:].view(np.int32)


def test_packets_reach_who_their_id_names_and_return_whole(name, rng):
    npu = there_and_back(name)
    x = rng.integers(-(1 << 31), 1 << 31, (6, 16), dtype=np.int64).astype(np.int32)
    y = np.full(8 * 17, -1, np.int32)
    ids = [1, 2, 3, 1, 3, 2]
    program = [shim(name, "S2MM", 1, 15, 1, y.size, column=1)]
    program += [packet(name, i, 0, 16, 64 * i, id) for i, id in enumerate(ids[:4])]
    for i, id in enumerate(ids[4:], 4):
        program.append(packet(name, i, 0, 16, 64 * i, id))
    stream = words(name, *program, sync(1, "S2MM", 1))
    for _ in range(2):
        y[...] = -1
        report = npu.run(stream, [x, y])
        to_upper = [id in (1, 3) for id in ids]
        to_lower = [id in (2, 3) for id in ids]
        np.testing.assert_array_equal(packets_of(y, 6), x[to_upper])
        np.testing.assert_array_equal(packets_of(y, 7), x[to_lower])
        # Headers count where they are kept, in memory and on wires.
        assert report.bytes["ddr_write"] == 4 * y.size
    only_timed = there_and_back(name, only_timed=True)
    assert (
        only_timed.run(stream, [x, y]).cycles
        == there_and_back(name).run(stream, [x, y]).cycles
    )


def test_the_header_may_lie_in_the_data(rng):
    npu = there_and_back("npu1")
    x = rng.integers(-1000, 1000, (2, 17), dtype=np.int32)
    x.view(np.uint32)[:, 0] = header(2, 0, 0, 0), header(1, 0, 0, 0)
    y = np.full(2 * 17, -1, np.int32)
    program = [
        shim("npu1", "S2MM", 1, 15, 1, y.size, column=1),
        *(packet("npu1", i, 0, 17, 68 * i) for i in range(2)),
        sync(1, "S2MM", 1),
    ]
    npu.run(words("npu1", *program), [x, y])
    np.testing.assert_array_equal(packets_of(y, 7), x[:1, 1:])
    np.testing.assert_array_equal(packets_of(y, 6), x[1:, 1:])
    with pytest.raises(Trap, match="has packet headers in its data, which a run that"):
        there_and_back("npu1", only_timed=True).run(words("npu1", *program), [x, y])


# Two channels of a memtile send four packets each to one channel of a core, which has
# room for all eight, in BDs of 24 words and one of 40.
MERGE = """
module {
  aie.device(npu2) {
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %core = aie.tile(0, 2)
    %x = aie.buffer(%mem) {sym_name = "x", address = 0 : i32} : memref<64xi32>
    %y = aie.buffer(%core) {sym_name = "y", address = 1024 : i32} : memref<256xi32>
    %full = aie.lock(%mem, 0) {init = 0 : i32, sym_name = "full"}
    %none = aie.lock(%mem, 1) {init = 0 : i32, sym_name = "none"}
    %done = aie.lock(%core, 0) {init = 0 : i32, sym_name = "done"}
    aie.flow(%shim, DMA : 0, %mem, DMA : 0)
    aie.flow(%core, DMA : 0, %shim, DMA : 0)
    aie.packet_flow(10) {
      aie.packet_source<%mem, DMA : 0>
      aie.packet_dest<%core, DMA : 0>
    }
    aie.packet_flow(11) {
      aie.packet_source<%mem, DMA : 1>
      aie.packet_dest<%core, DMA : 0>
    }
    %m = aie.memtile_dma(%mem) {
      %0 = aie.dma_start(S2MM, 0, ^in, ^a)
    ^in:
      aie.dma_bd(%x : memref<64xi32>, 0, 64) {bd_id = 0 : i32}
      aie.use_lock(%full, Release, 8)
      aie.next_bd ^end
    ^a:
      %1 = aie.dma_start(MM2S, 0, ^left, ^b, repeat_count = 3)
    ^left:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%x : memref<64xi32>, 0, 32) {bd_id = 1 : i32, packet = #aie.packet_info<pkt_type = 0, pkt_id = 10>}
      aie.use_lock(%none, Release, 0)
      aie.next_bd ^end
    ^b:
      %2 = aie.dma_start(MM2S, 1, ^right, ^end, repeat_count = 3)
    ^right:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%x : memref<64xi32>, 32, 32) {bd_id = 24 : i32, packet = #aie.packet_info<pkt_type = 0, pkt_id = 11>}
      aie.use_lock(%none, Release, 0)
      aie.next_bd ^end
    ^end:
      aie.end
    }
    %d = aie.mem(%core) {
      %0 = aie.dma_start(S2MM, 0, ^in0, ^out)
RECEIVE    ^out:
      %1 = aie.dma_start(MM2S, 0, ^send, ^end)
    ^send:
      aie.use_lock(%done, AcquireGreaterEqual, 10)
      aie.dma_bd(%y : memref<256xi32>, 0, 256) {bd_id = 15 : i32}
      aie.use_lock(%done, Release, 0)
      aie.next_bd ^end
    ^end:
      aie.end
    }
  }
}
"""  # noqa: E501
RECEIVE = """    ^inI:
      aie.dma_bd(%y : memref<256xi32>, AT, LEN) {bd_id = I : i32}
      aie.use_lock(%done, Release, 1)
      aie.next_bd ^inNEXT
"""


def merge(text):
    lengths = [24] * 9 + [40]
    receive = "".join(
        RECEIVE.replace("I:", f"{i}:").replace("= I", f"= {i}")
        .replace("AT", f"{24 * i}").replace("LEN", f"{length}")
        .replace("NEXT", f"{i + 1}")
        for i, length in enumerate(lengths)
    )  # fmt: skip
    text = text.replace("RECEIVE", receive.replace("^in10", "^end"))
    npu = virtual_npu(text)
    x = np.arange(64, dtype=np.int32)
    y = np.full((8, 32), -1, np.int32)
    program = [
        shim("npu2", "S2MM", 0, 0, 1, 256),
        shim("npu2", "MM2S", 0, 1, 0, 64),
        sync(0, "S2MM", 0),
    ]
    npu.run(words("npu2", *program), [x, y])
    return x.reshape(2, 32), y


def test_a_receiver_takes_whole_packets_of_its_senders_in_turn():
    x, y = merge(MERGE)
    np.testing.assert_array_equal(y, np.concatenate([x] * 4))


def test_a_header_may_stand_beside_its_bd():
    info = "packet = #aie.packet_info<pkt_type = 0, pkt_id = 11>"
    beside = MERGE.replace(f", {info}", "").replace(
        "      aie.dma_bd(%x : memref<64xi32>, 32",
        "      aie.dma_bd_packet(0, 11)\n      aie.dma_bd(%x : memref<64xi32>, 32",
    )
    assert beside.count("aie.dma_bd_packet") == 1
    x, y = merge(beside)
    np.testing.assert_array_equal(y, np.concatenate([x] * 4))


def test_packets_of_an_id_that_no_flow_carries():
    with pytest.raises(Trap, match="MM2S 1 BD 24 sends a packet of ID 9, which no p"):
        merge(MERGE.replace("pkt_id = 11", "pkt_id = 9"))
    info = "packet = #aie.packet_info<pkt_type = 0, pkt_id = 9>"
    text = MERGE.replace("{bd_id = 15 : i32}", f"{{bd_id = 15 : i32, {info}}}")
    with pytest.raises(Trap, match="MM2S 0 BD 15 sends packets, but its flow is a"):
        merge(text)


def test_a_packet_that_nobody_takes_holds_up_those_behind_it():
    npu = there_and_back("npu1")
    # The upper core has room for two, and what it sends back finds no receiver.
    program = [packet("npu1", i, 0, 16, 64 * i, 1) for i in range(3)]
    program.append(packet("npu1", 3, 0, 16, 192, 2, token=True))
    who = (
        "deadlock: the controller waits at word 131 for a token, for shim (1, 0) MM2S "
        "0 BD 2 waits for its stream, for core (1, 4) S2MM 1 waits for lock 0 of core "
        "(1, 4) 'upper_free' >= 1 (it is 0), for core (1, 4) MM2S 0 BD 2 waits for its "
        "stream, for shim (1, 0) S2MM 1 waits for a task, for controller again"
    )
    with pytest.raises(Trap, match=re.escape(who)):
        npu.run(words("npu1", *program, sync(1, "MM2S", 0)), [np.zeros(64, np.int32)])
