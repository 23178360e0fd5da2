"""DMA of memtiles and cores that the stream programs, without programs of its own."""

import numpy as np
import pytest

from xdna.simulator import Trap
from xdna.stream.instructions import MaskWrite, Write, tile_address

from .streams import (
    LOCAL_LOCKS,
    LOCAL_MEMORY,
    core_bd,
    memtile_bd,
    push,
    shim,
    sync,
    virtual_npu,
    words,
)

THROUGH = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(COLUMN, 0)
    %via = aie.tile(COLUMN, ROW)
    aie.flow(%shim, DMA : 0, %via, DMA : 0)
    aie.flow(%via, DMA : 1, %shim, DMA : 1)
  }
}
"""
GREATER = -1 % 128  # acquire 1 by greater-or-equal


def through(name, column, row):
    text = THROUGH.replace("DEVICE", name).replace("COLUMN", str(column))
    return virtual_npu(text.replace("ROW", str(row)))


@pytest.fixture(params=["npu1", "npu2"])
def name(request):
    return request.param


def test_memtile_bds_chain_pad_iterate_and_wait_for_locks(name, rng):
    column, tile = 1, (1, 1)
    npu = through(name, column, 1)
    x = rng.integers(-(1 << 31), 1 << 31, (4, 3, 5), dtype=np.int64).astype(np.int32)
    y = np.full((4, 6, 4), -1, np.int32)
    free, full = LOCAL_LOCKS + 7, LOCAL_LOCKS + 8
    take = {"acquire": (-1, free), "release": (1, full)}
    give = {"acquire": (-2, full), "release": (1, free)}
    program = [
        # Two BDs in a chain take a matrix each; the second at another place.
        memtile_bd(tile, 0, LOCAL_MEMORY + 64, 15, next_bd=2, **take),
        memtile_bd(tile, 2, LOCAL_MEMORY + 4096, 15, next_bd=None, **take),
        # Transposed, with a row of zeros before and one column of them behind.
        memtile_bd(tile, 24, LOCAL_MEMORY + 64, 24, [(3, 5), (5, 1)], next_bd=25,
                   before=(0, 1, 0), after=(1, 0, 0), **give),
        memtile_bd(tile, 25, LOCAL_MEMORY + 4096, 24, [(3, 5), (5, 1)],
                   before=(0, 1, 0), after=(1, 0, 0), release=(1, free)),
        Write(tile_address(*tile, 0xC0000 + 16 * 7), 2),
        push(tile, "S2MM", 0, 0, repeats=2),
        push(tile, "MM2S", 1, 24, repeats=2, token=True),
        shim(name, "S2MM", 1, 0, 1, y.size, column=column),
        shim(name, "MM2S", 0, 1, 0, x.size, column=column),
        sync(column, "S2MM", 1),
        sync(column, "MM2S", 1, row=1),
    ]  # fmt: skip
    expected = np.zeros((4, 6, 4), np.int32)
    expected[:, 1:, :3] = x.transpose(0, 2, 1)
    for _ in range(2):
        y[...] = -1
        npu.run(words(name, *program), [x, y])
        np.testing.assert_array_equal(y, expected)
    npu.reset()
    message = "shim (1, 0) S2MM 1 BD 0 waits for its stream"
    with pytest.raises(Trap, match=message.replace("(", r"\(").replace(")", r"\)")):
        npu.run(words(name, *program[-4:-1]), [x, y])


def test_core_bds_count_iterations_and_take_part_of_their_words(name, rng):
    tile = (0, 3)
    npu = through(name, 0, 3)
    x = rng.integers(-1000, 1000, (3, 8), dtype=np.int32)
    y = np.full((3, 2, 4), -1, np.int32)
    program = [
        core_bd(tile, 4, 256, 8, iterations=3, iteration_stride=8, release=(1, 5)),
        # [2][4] to be read as [4][2], three times; its address and lock come later.
        core_bd(tile, 9, 0, 8, [(4, 2), (2, 1)], iterations=3, iteration_stride=8),
        MaskWrite(tile_address(*tile, 0x1D000 + 32 * 9), 256 // 4 << 14, 0x0FFFC000),
        MaskWrite(tile_address(*tile, 0x1D014 + 32 * 9), 1 << 12 | GREATER << 5 | 5,
                  1 << 12 | 127 << 5 | 15),
        push(tile, "S2MM", 0, 4, repeats=3),
        push(tile, "MM2S", 1, 9, repeats=3),
        shim(name, "S2MM", 1, 0, 1, y.size),
        shim(name, "MM2S", 0, 1, 0, x.size),
        sync(0, "S2MM", 1),
    ]  # fmt: skip
    npu.run(words(name, *program), [x, y])
    expected = x.reshape(3, 4, 2).transpose(0, 2, 1)
    np.testing.assert_array_equal(y, expected)


def test_memory_and_locks_of_the_neighbour(name, rng):
    """A memtile's BDs name its western neighbour's memory first, and its locks."""
    npu = through(name, 1, 1)
    x = rng.integers(-1000, 1000, 64, dtype=np.int32)
    y = np.full_like(x, -1)
    west = {"acquire": (-1, 3), "release": (1, 4)}
    program = [
        memtile_bd((1, 1), 0, 128, 64, **west),
        memtile_bd((1, 1), 24, 128, 64, acquire=(-1, 4), release=(1, 3)),
        Write(tile_address(0, 1, 0xC0030), 1),
        push((1, 1), "S2MM", 0, 0),
        push((1, 1), "MM2S", 1, 24),
        shim(name, "MM2S", 0, 0, 0, 64, column=1),
        shim(name, "S2MM", 1, 1, 1, 64, column=1),
        sync(1, "S2MM", 1),
    ]
    report = npu.run(words(name, *program), [x, y])
    np.testing.assert_array_equal(y, x)
    seen_to_hang = [one for one in report.notices if "was seen to hang" in one]
    if name == "npu1":
        (notice,) = seen_to_hang
        assert "starts memtile (1, 1) S2MM 0 BD 0: a chip of npu1" in notice
    else:
        assert not seen_to_hang


def west_of_first_column(name, address):
    """Fills byte 0 as a BD names it, and reads back what lies at `address`."""
    return words(
        name,
        memtile_bd((0, 1), 0, 0, 64),
        memtile_bd((0, 1), 24, address, 64),
        push((0, 1), "S2MM", 0, 0, token=True),
        shim(name, "MM2S", 0, 0, 0, 64),
        sync(0, "S2MM", 0, row=1),
        push((0, 1), "MM2S", 1, 24),
        shim(name, "S2MM", 1, 1, 1, 64),
        sync(0, "S2MM", 1),
    )


def test_memory_west_of_the_first_column(rng):
    x = rng.integers(-1000, 1000, 64, dtype=np.int32)
    y = np.full_like(x, -1)
    # A partition of npu1 begins at the second physical column.
    npu = through("npu1", 0, 1)
    npu.run(west_of_first_column("npu1", 0), [x, y])
    np.testing.assert_array_equal(y, x)
    npu.reset()
    with pytest.raises(Trap, match=r"BD 24 reads byte 0 of memtile \(0, 1\), which "):
        npu.run(west_of_first_column("npu1", LOCAL_MEMORY), [x, y])
    with pytest.raises(Trap, match="begins at byte 0x0, in the memory of a neighbour"):
        through("npu2", 0, 1).run(west_of_first_column("npu2", 0), [x, y])


@pytest.mark.parametrize(
    ("operations", "what"),
    [
        ([*push((0, 1), "S2MM", 0, 24)], "pushed BD 24, which it cannot use: even ch"),
        ([*push((0, 1), "S2MM", 0, 0)], "BD 0 is pushed, but was not written whole"),
        ([memtile_bd((0, 1), 0, 0x80000, 4, acquire=(-1, 130)),
          *push((0, 1), "S2MM", 0, 0)], r"S2MM 0 waits for lock 2 of memtile \(1, 1\)"),
        ([memtile_bd((0, 1), 0, 0x80000, 4), *push((0, 1), "S2MM", 0, 0),
          memtile_bd((0, 1), 0, 0x80000, 4)], r"memtile \(0, 1\) BD 0 is rewritten"),
        ([memtile_bd((0, 1), 0, 0x80000, 0), *push((0, 1), "S2MM", 0, 0)], "no length"),
        ([*[memtile_bd((0, 1), 0, 0x80000, 4)], *push((0, 1), "S2MM", 0, 0) * 5],
         "overflows the queue of 4 tasks"),
        ([Write(tile_address(0, 1, 0xA0600), 2)], "only the controller id may be set"),
    ],
    ids=["parity", "unwritten", "lock", "rewritten", "empty", "queue", "reset"],
)  # fmt: skip
def test_programs_that_silicon_does_not_execute(operations, what):
    npu = through("npu2", 0, 1)
    x = np.zeros(4, np.int32)
    never = [*shim("npu2", "MM2S", 0, 0, 0, 4, token=True), sync(0, "MM2S", 0)]
    with pytest.raises(Trap, match=what):
        npu.run(words("npu2", operations, never), [x])
