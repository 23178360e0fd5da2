import pytest

from xdna.devices import device
from xdna.stream.disassembly import disassemble
from xdna.stream.instructions import (
    BlockWrite,
    LoadPdi,
    Preempt,
    Sync,
    Write,
    encode,
    tile_address,
)

SAMPLE = """\
npu1_1col: 10 operations, 348 bytes
     4  BLOCKWRITE  shim (0, 0) BD 0 <- 256 words, sizes [1, 1, 1, 256] strides [0, 0, 0, 1]
    16  DDR_PATCH   shim (0, 0) BD 0 word 1 <- argument 1 + 0 bytes
    28  MASKWRITE   shim (0, 0) S2MM 0 control <- 0xf00, mask 0x1f00
    35  WRITE       shim (0, 0) S2MM 0 queue <- BD 0, 1 time, token
    41  BLOCKWRITE  shim (0, 0) BD 1 <- 128 words, sizes [2, 2, 16, 4] strides [128, 4, 8, 1]
    53  DDR_PATCH   shim (0, 0) BD 1 word 1 <- argument 0 + 0 bytes
    65  WRITE       shim (0, 0) MM2S 0 queue <- BD 1, 2 times
    71  WRITE       core (0, 2) data 0x500 <- 2
    77  WRITE       core (0, 2) lock 4 <- 1
    83  SYNC        token of (0, 0) S2MM 0
"""  # noqa: E501


def test_sample_reads_as_its_meaning(sample_words):
    assert disassemble(sample_words) == SAMPLE


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (Sync(0, 0, "MM2S", 1, 4), "SYNC        token of (0-3, 0) MM2S 1"),
        (LoadPdi(2, 64, 0xABC), "LOADPDI     2: 64 bytes at 0xabc"),
        (Preempt(1), "PREEMPT     level 1"),
        (
            Write(tile_address(1, 1, 0xC0010), 3),
            "WRITE       memtile (1, 1) lock 1 <- 3",
        ),
        (Write(tile_address(1, 2, 0x32000), 3), "WRITE       core (1, 2) 0x32000 <- 3"),
        (Write(tile_address(9, 2, 0x10), 3), "WRITE       no tile (9, 2) 0x10 <- 3"),
        (
            BlockWrite(tile_address(0, 2, 0x400), (1, 16)),
            "BLOCKWRITE  core (0, 2) data 0x400 <- 0x1 0x10",
        ),
        (
            BlockWrite(0x1D000, (4, 0, 0x40080000, 0, 0, 0, 0, 0x04000000)),
            "BLOCKWRITE  shim (0, 0) BD 0 <- 4 words, sizes [1, 1, 1, 4] strides "
            "[0, 0, 0, 1], packet_enable 1, packet_id 1, use_next 1, not valid",
        ),
    ],
)
def test_operations_read_as_their_meaning(operation, line):
    listing = disassemble(encode(device("npu1"), [operation])).splitlines()
    assert listing[1] == f"     4  {line}"


def test_every_random_stream_has_a_line_an_operation(random_stream, rng):
    words = random_stream("npu2", rng)
    assert len(disassemble(words).splitlines()) == 1 + words[2]


def test_broken_stream_is_refused(sample_words):
    with pytest.raises(ValueError, match=r"^word 3"):
        disassemble(sample_words[:-1])
