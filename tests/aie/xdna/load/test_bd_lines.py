# ruff: noqa: E501  one BD a line
"""Buffer descriptors (BDs) as `bd` lines: elements of every size become words."""

import math

import numpy as np
import pytest

from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration

from .configuration_text import bds_of, words_of


def memtile(bd, element="i32", count=4096, extra="", repeat=0, last="aie.end"):
    """A two-column design whose first memtile sends one BD of a buffer to a core."""
    return parse_module(f"""
      aie.device(npu1_2col) {{
        %mem = aie.tile(0, 1)
        %next = aie.tile(1, 1)
        %core = aie.tile(0, 2)
        %buffer = aie.buffer(%mem) {{address = 4096 : i32, sym_name = "own"}} : memref<{count}x{element}>
        %other = aie.buffer(%next) {{address = 512 : i32, sym_name = "other"}} : memref<{count}x{element}>
        %in = aie.buffer(%core) {{address = 1024 : i32, sym_name = "in"}} : memref<64xi32>
        %lock = aie.lock(%next, 5) {{init = 3 : i32, sym_name = "lock"}}
        aie.flow(%mem, DMA : 0, %core, DMA : 0)
        %m = aie.memtile_dma(%mem) {{
          %0 = aie.dma_start(MM2S, 0, ^send, ^end, repeat_count = {repeat})
        ^send:
          {bd.replace("TYPE", f"memref<{count}x{element}>")}
          {last}
        ^end:
          aie.end
        }}
        %d = aie.mem(%core) {{
          %0 = aie.dma_start(S2MM, 0, ^take, ^end)
        ^take:
          aie.dma_bd(%in : memref<64xi32>, 0, 64) {{bd_id = 0 : i32}}
          aie.next_bd ^take
        ^end:
          aie.end
        }}
        {extra}
      }}""")


def first_bd(module):
    return next(bd for bd in bds_of(configuration(module)) if bd.tile == (0, 1))


@pytest.mark.parametrize(
    ("element", "num_bytes"), [("i8", 1), ("bf16", 2), ("f32", 4), ("i64", 8)]
)
def test_elements_of_every_size_become_words(element, num_bytes):
    rng = np.random.default_rng(num_bytes)
    for _ in range(8):
        run = math.lcm(4, num_bytes) // num_bytes
        sizes = [
            *(int(n) for n in rng.integers(1, 5, size=2)),
            run * int(rng.integers(1, 5)),
        ]
        strides = [run * int(n) for n in rng.integers(1, 40, size=2)] + [1]
        offset = run * int(rng.integers(64))
        dims = ", ".join(
            f"<size = {n}, stride = {step}>" for n, step in zip(sizes, strides)
        )
        length = math.prod(sizes)
        bd = first_bd(
            memtile(
                f"aie.dma_bd(%buffer : TYPE, {offset}, {length}, [{dims}]) {{bd_id = 0 : i32}}",
                element,
            )
        )
        elements = np.array([offset])
        for size, stride in zip(sizes, strides):
            elements = (elements[:, None] + np.arange(size) * stride).reshape(-1)
        in_bytes = (elements[:, None] * num_bytes + np.arange(num_bytes)).reshape(-1)
        np.testing.assert_array_equal(bd.words(), 4096 // 4 + in_bytes[::4] // 4)


def test_words_may_lie_apart():
    bd = first_bd(
        memtile(
            "aie.dma_bd(%buffer : TYPE, 3, 8, [<size = 2, stride = 100>, <size = 4, stride = 5>]) {bd_id = 7 : i32}"
        )
    )
    assert (bd.id, bd.address, bd.length, bd.dims) == (
        7,
        4096 + 12,
        8,
        [(2, 100), (4, 5)],
    )


def test_pads_are_words_where_they_are_innermost():
    pads = "[<const_pad_before = 1, const_pad_after = 2>, <const_pad_before = 4, const_pad_after = 2>]"
    bd = first_bd(
        memtile(
            f"aie.dma_bd(%buffer : TYPE, 0, 84, [<size = 3, stride = 8>, <size = 8, stride = 1>], {pads}) {{bd_id = 0 : i32}}",
            "bf16",
        )
    )
    assert (bd.length, bd.dims, bd.pads) == (42, [(3, 4), (4, 1)], [(1, 2), (2, 1)])


def test_a_chain_may_end_and_be_repeated():
    text = configuration(
        memtile("aie.dma_bd(%buffer : TYPE, 0, 64) {bd_id = 0 : i32}", repeat=3)
    )
    assert [bd.next for bd in bds_of(text) if bd.tile == (0, 1)] == [-1]
    assert [0, 1, 1, 0, 0, 4] in words_of(text, "start")


def test_a_bd_may_use_the_neighbours_memory_and_lock():
    bd = first_bd(
        memtile(
            "aie.use_lock(%lock, AcquireGreaterEqual, 2)\naie.dma_bd(%other : TYPE, 4, 64) {bd_id = 0 : i32}"
        )
    )
    assert (bd.memory, bd.address, bd.acquire, bd.release) == (
        (1, 1),
        512 + 16,
        (0, 2),
        (-1, 0),
    )
