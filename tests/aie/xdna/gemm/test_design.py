"""The GEMM design: legal on its device, and what the streams assume of it."""

import numpy as np
import pytest

from xdna.check.whole_design import check_design
from xdna.dialect.aie import BufferOp, DmaBdOp, LockOp, TileOp
from xdna.dialect.text import parse_module, print_module
from xdna.gemm.array import GO_LOCK, GemmArray
from xdna.gemm.design import gemm_design

ARRAYS = [
    GemmArray(device, *tile, out=out, b_column_major=b_column_major)
    for device in ("npu1", "npu2", "npu2_4col")
    for tile in ((64, 64, 64), (64, 64, 32), (32, 128, 32), (16, 8, 16))
    for out in ("float32", "bfloat16")
    for b_column_major in (False, True)
]


@pytest.fixture(scope="module", params=ARRAYS, ids=str)
def built(request):
    """(array, its design), made once for all tests that read it."""
    return request.param, gemm_design(request.param)


def test_the_design_is_legal(built):
    _, module = built
    module.verify()
    assert [str(violation) for violation in check_design(module)] == []


@pytest.mark.parametrize("generic", [False, True], ids=["pretty", "generic"])
def test_the_design_survives_text(generic):
    module = gemm_design(GemmArray("npu1", 64, 64, 32))
    read = parse_module(print_module(module, generic=generic))
    assert print_module(read) == print_module(module)


@pytest.mark.parametrize("out", ["float32", "bfloat16"])
def test_parameters_and_go_lie_where_the_streams_write(out):
    array = GemmArray("npu2", 64, 64, 64, out=out)
    ops = list(gemm_design(array).walk())
    num_cores = array.num_columns * array.num_rows
    parameters = [
        op
        for op in ops
        if isinstance(op, BufferOp) and op.sym_name.data.startswith("parameters")
    ]
    assert len(parameters) == num_cores
    expected = array.core_buffers["parameters"].address
    assert {op.address.value.data for op in parameters} == {expected}
    go = [
        op for op in ops if isinstance(op, LockOp) and op.sym_name.data.startswith("go")
    ]
    assert len(go) == num_cores
    assert {(op.lock_id.value.data, op.init.value.data) for op in go} == {(GO_LOCK, 0)}
    assert all(isinstance(op.tile.owner, TileOp) for op in go)


def blocks(matrix, rows, columns):
    """[R/rows][C/columns][rows][columns]: the kernels' layout of a tile."""
    height, width = matrix.shape
    split = matrix.reshape(height // rows, rows, width // columns, columns)
    return split.transpose(0, 2, 1, 3)


def walk(bd):
    """Elements of its buffer that a BD reads, in order."""
    order = np.array([bd.offset.value.data])
    for size, stride in bd.dimensions.data:
        order = (order[:, None] + np.arange(size) * stride).reshape(-1)
    return order


def test_memtiles_reorder_between_rows_and_the_kernels_blocks(built):
    array, module = built
    r, s, t = array.device.mmul_shape
    bds = {
        (bd.buffer.owner.sym_name.data, bd.offset.value.data): bd
        for bd in module.walk()
        if isinstance(bd, DmaBdOp) and bd.dimensions is not None
    }
    a_tile = np.arange(array.m * array.k).reshape(array.m, array.k)
    np.testing.assert_array_equal(
        walk(bds["l2_a_1_0", 0]), blocks(a_tile, r, s).reshape(-1)
    )
    b_tile = np.arange(array.k * array.n)
    if array.b_column_major:  # blocks of (t, s)
        expected = blocks(b_tile.reshape(array.n, array.k), t, s)
    else:
        expected = blocks(b_tile.reshape(array.k, array.n), s, t)
    np.testing.assert_array_equal(walk(bds["l2_b_0_1", 0]), expected.reshape(-1))
    length = array.m * array.n
    for row in range(array.num_rows):
        # what the core sends, in the order of its blocks, comes out row by row
        sent = blocks(np.arange(length).reshape(array.m, array.n), r, t).reshape(-1)
        order = walk(bds["l2_c_1_0", row * length]) - row * length
        np.testing.assert_array_equal(sent[order], np.arange(length))
