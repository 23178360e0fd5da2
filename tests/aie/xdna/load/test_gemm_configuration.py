"""The GEMM design as a configuration: routes, rings of BDs, word orders, kernels."""

import itertools

import numpy as np
import pytest

from xdna.dialect.text import parse_module, print_module
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.load.configuration import configuration

from .configuration_text import bds_of, words_of

ARRAYS = [
    GemmArray("npu1", 64, 64, 64),
    GemmArray("npu1", 64, 64, 32, out="bfloat16", b_column_major=True),
    GemmArray("npu2", 64, 64, 64),
    GemmArray("npu2", 32, 128, 32, out="bfloat16"),
]


@pytest.fixture(scope="module", params=ARRAYS, ids=str)
def array(request):
    return request.param


@pytest.fixture(scope="module")
def design(array):
    """(the design, its text before it was configured, its configuration)."""
    module = gemm_design(array)
    return module, print_module(module, generic=True), configuration(module)


@pytest.fixture(scope="module")
def text(design):
    return design[-1]


def test_the_gemm_design_survives_text(design):
    module, before, text = design
    assert print_module(module, generic=True) == before
    assert configuration(parse_module(before)) == text


def test_gemm_streams_take_the_shortest_way(array, text):
    wanted = []
    for row, column in enumerate(array.a_columns):
        wanted.append((column, 0, 0, column, 1, 0, 2))
        for target in range(array.num_columns):
            wanted.append(
                (column, 1, 0, target, 2 + row, 0, abs(target - column) + row + 2)
            )
    for column in range(array.num_columns):
        wanted += [(column, 0, 1, column, 1, 1, 2), (column, 1, 2, column, 0, 0, 2)]
        for row in range(4):
            wanted.append((column, 1, 1, column, 2 + row, 1, row + 2))
            wanted.append((column, 2 + row, 0, column, 1, 2 + row, row + 2))
    routes = words_of(text, "route")
    assert sorted(map(tuple, routes)) == sorted(wanted)


def test_gemm_bds_form_a_ring_on_each_channel_between_their_locks(array, text):
    locks = [words[-1] for words in words_of(text, "lock")]
    buffers = {
        (c, r, address): name for c, r, address, _, name in words_of(text, "buffer")
    }
    bds = {(bd.tile, bd.id): bd for bd in bds_of(text)}
    reached = []
    for column, row, direction, channel, first, repeats in words_of(text, "start"):
        assert repeats == 1
        ring = [first]
        while (following := bds[(column, row), ring[-1]].next) != first:
            ring.append(following)
        assert len(ring) == len(set(ring))
        reached += [((column, row), id) for id in ring]
        for id in ring:
            bd = bds[(column, row), id]
            assert bd.tile == bd.memory == (column, row)
            assert bd.acquire[1] == bd.release[1] == 1
            names = locks[bd.acquire[0]], locks[bd.release[0]]
            states = ["free", "full"] if direction == 0 else ["full", "free"]
            assert [name.split("_")[-1] for name in names] == states
            stems = {name.rsplit("_", 1)[0] for name in names}
            assert len(stems) == 1
            if row > 1:
                operand = "c" if direction else "ab"[channel]
                assert stems == {f"core_{column}_{row - 2}_{operand}"}
                assert buffers[(*bd.memory, bd.address)][0] == operand
    assert sorted(reached) == sorted(bds)


def blocks(matrix, rows, columns):
    height, width = matrix.shape
    split = matrix.reshape(height // rows, rows, width // columns, columns)
    return split.transpose(0, 2, 1, 3).reshape(-1)


def test_gemm_memtiles_send_words_in_the_kernels_order(array, text):
    r, s, t = array.device.mmul_shape
    m, k, n = array.m, array.k, array.n
    address = {name: address for *_, address, _, name in words_of(text, "buffer")}
    sent = {(bd.memory, bd.address): bd for bd in bds_of(text) if bd.dims}

    def words(matrix_blocks, element_bytes, base):
        """Words of elements that are numbered in the order of their addresses."""
        per_word = 4 // element_bytes
        return base // 4 + matrix_blocks[::per_word] // per_word

    a = address["l2_a_1_0"]
    order = blocks(np.arange(m * k).reshape(m, k), r, s)
    np.testing.assert_array_equal(sent[(0, 1), a].words(), words(order, 2, a))
    b = address["l2_b_0_1"]
    shape, block = ((n, k), (t, s)) if array.b_column_major else ((k, n), (s, t))
    order = blocks(np.arange(k * n).reshape(shape), *block)
    np.testing.assert_array_equal(sent[(1, 1), b].words(), words(order, 2, b))
    part_bytes = m * n * array.out_bytes
    for row in range(4):
        c = address["l2_c_1_0"] + row * part_bytes
        # where each element of the rows lies among the blocks that the core sent
        order = np.argsort(blocks(np.arange(m * n).reshape(m, n), r, t))
        np.testing.assert_array_equal(
            sent[(0, 1), c].words(), words(order, array.out_bytes, c)
        )


def test_gemm_kernels_have_the_types_of_their_tiles(array, text):
    types, kernels = words_of(text, "type"), words_of(text, "kernel")
    found = {name: [types[i] for i in arguments] for name, _, *arguments in kernels}
    m, k, n = array.m, array.k, array.n
    sums = ["f32", 2, m, n]
    wanted = {
        "zero_f32": [sums],
        "matmul_bf16_f32": [["bf16", 2, m, k], ["bf16", 2, k, n], sums],
    }
    if array.out == "bfloat16":
        wanted["convert_f32_bf16"] = [sums, ["bf16", 2, m, n]]
    assert found == wanted
    cores = [(column, row) for column, row, *_ in words_of(text, "core")]
    assert cores == list(itertools.product(range(array.num_columns), range(2, 6)))
