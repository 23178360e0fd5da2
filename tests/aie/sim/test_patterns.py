"""BDs of shims and memtiles walk over memory as NumPy does, with pads and repeats."""

import numpy as np
import pytest

from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration
from xdna.simulator import VirtualNpu
from xdna.stream.instructions import Sync, encode
from xdna.stream.shim_bd import ShimTransfer, operations

# From DDR to a memtile and back, with one BD in each direction, `repeats` times.
LOOP = """
module {{
  aie.device({device}) {{
    %shim = aie.tile(0, 0)
    %mem = aie.tile(0, 1)
    %buffer = aie.buffer(%mem) {{sym_name = "b", address = 64 : i32}} : memref<4096xi32>
    %free = aie.lock(%mem, 0) {{init = 1 : i32, sym_name = "free"}}
    %full = aie.lock(%mem, 1) {{init = 0 : i32, sym_name = "full"}}
    aie.flow(%shim, DMA : 0, %mem, DMA : 1)
    aie.flow(%mem, DMA : 2, %shim, DMA : 1)
    aie.shim_dma_allocation @fill(%shim, MM2S, 0)
    aie.shim_dma_allocation @drain(%shim, S2MM, 1)
    %m = aie.memtile_dma(%mem) {{
      %0 = aie.dma_start(S2MM, 1, ^in, ^next, repeat_count = {repeats})
    ^in:
      aie.use_lock(%free, AcquireGreaterEqual, 1)
      aie.dma_bd(%buffer : memref<4096xi32>, 8, {into}) {{bd_id = 24 : i32}}
      aie.use_lock(%full, Release, 1)
      aie.next_bd ^end
    ^next:
      %1 = aie.dma_start(MM2S, 2, ^out, ^end, repeat_count = {repeats})
    ^out:
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      aie.dma_bd(%buffer : memref<4096xi32>, 8, {out}) {{bd_id = 0 : i32}}
      aie.use_lock(%free, Release, 1)
      aie.next_bd ^end
    ^end:
      aie.end
    }}
  }}
}}
"""


def bd(length, sizes=(), strides=(), pads=()):
    """The end of an aie.dma_bd."""
    text = str(length)
    if len(sizes):
        dims = [f"<size = {n}, stride = {s}>" for n, s in zip(sizes, strides)]
        text += f", [{', '.join(dims)}]"
    if pads:
        zeros = [f"<const_pad_before = {b}, const_pad_after = {a}>" for b, a in pads]
        text += f", [{', '.join(zeros)}]"
    return text


def words_of(sizes, strides):
    """The words that a walk visits, in its order."""
    words = np.zeros(1, np.int64)
    for size, stride in zip(sizes, strides):
        words = (words[:, None] + np.arange(size) * stride).reshape(-1)
    return words


def loop(name, fill, drain, into, out, source, num_out, repeats=1, edit=str):
    """The `num_out` words that come out of the loop, -1 where nothing was written."""
    text = LOOP.format(device=name, into=into, out=out, repeats=repeats - 1)
    npu, target = device(name), np.full(num_out, -1, np.int32)
    stream = [
        *operations(npu, ShimTransfer(0, "S2MM", 1, 1, 1, 0, *drain, token=True)),
        *operations(npu, ShimTransfer(0, "MM2S", 0, 0, 0, 0, *fill)),
        Sync(0, 0, "S2MM", 1),
    ]
    npu = VirtualNpu(edit(configuration(parse_module(text))))
    npu.run(encode(device(name), stream), [source, target])
    return target


def linear(n):
    return (1, 1, 1, n), (0, 0, 0, 1)


def random_walk(rng, num_dims, max_words):
    """Random sizes and strides, with gaps, overlaps and words out of order."""
    while True:
        sizes = rng.integers(1, 8, num_dims)
        strides = rng.choice([1, 2, 3, 4, 5, 8, 16, 24, 64], num_dims)
        if words_of(sizes, strides).max() < max_words:
            return [int(n) for n in sizes], [int(n) for n in strides]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_memtile_reads_in_the_order_of_its_bd(name, seed):
    rng = np.random.default_rng(seed)
    sizes, strides = random_walk(rng, 1 + seed % 4, 512)
    source = rng.integers(1 << 30, size=512).astype(np.int32)
    length = int(np.prod(sizes))
    out = bd(length, sizes, strides)
    got = loop(name, linear(512), linear(length), bd(512), out, source, length)
    np.testing.assert_array_equal(got, source[words_of(sizes, strides)])


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_memtile_writes_in_the_order_of_its_bd(rng, axes):
    shape = 3, 4, 5, 6
    source = rng.integers(1 << 30, size=shape).astype(np.int32)
    strides = np.array([120, 30, 6, 1])[list(axes)]
    sizes = np.array(shape)[list(axes)]
    into = bd(360, sizes, strides)
    got = loop("npu1", linear(360), linear(360), into, bd(360), source, 360)
    back = got.reshape(shape).transpose(axes)
    np.testing.assert_array_equal(back.reshape(-1), source.reshape(-1))


@pytest.mark.parametrize("seed", range(12))
def test_memtile_pads_with_zeros(seed):
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(1, 6, 1 + seed % 3)]
    strides = [1, 7, 40][: len(sizes)][::-1]
    pads = [tuple(int(n) for n in rng.integers(0, 4, 2)) for _ in sizes]
    source = rng.integers(1, 1 << 30, size=256).astype(np.int32)
    expected = np.pad(source[words_of(sizes, strides)].reshape(sizes), pads)
    out = bd(expected.size, sizes, strides, pads)
    n = expected.size
    got = loop("npu2", linear(256), linear(n), bd(256), out, source, n)
    np.testing.assert_array_equal(got, expected.reshape(-1))


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_shim_reads_and_writes_in_the_order_of_its_bd(name, seed):
    rng = np.random.default_rng(seed)
    sizes, strides = random_walk(rng, 4, 2048)
    if seed % 4 == 0:
        strides[0] = 0  # a repeat of the task, not an iteration of its BD
    source = rng.integers(1 << 30, size=2048).astype(np.int32)
    words = words_of(sizes, strides)
    n = len(words)
    walk = tuple(sizes), tuple(strides)
    got = loop(name, walk, linear(n), bd(n), bd(n), source, n)
    np.testing.assert_array_equal(got, source[words])
    expected = np.full(2048, -1, np.int32)
    expected[words] = source[:n]  # the last one written stays, as in NumPy
    got = loop(name, linear(n), walk, bd(n), bd(n), source[:n].copy(), 2048)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_chains_that_end_are_repeated(rng, repeats):
    source = rng.integers(1 << 30, size=(repeats, 6, 4)).astype(np.int32)
    out = bd(24, (4, 6), (1, 4))
    n = source.size
    got = loop("npu1", linear(n), linear(n), bd(24), out, source, n, repeats)
    np.testing.assert_array_equal(got, source.swapaxes(1, 2).reshape(-1))


def test_gaps_of_a_repeat_are_gaps():
    """Words in the gaps of a walk are never read, so nothing need have written them."""
    source = np.arange(1, 3, dtype=np.int32)
    into, out = bd(2, (2, 1), (3, 1)), bd(4, (2, 1, 2, 1), (77, 1, 3, 1))
    # The target check knows repeats of shims alone.
    got = loop(
        *("npu1", linear(2), linear(4), into, out, source, 4),
        edit=lambda text: text.replace(" 2 77 ", " 2 0 "),
    )
    np.testing.assert_array_equal(got, [1, 2, 1, 2])
