"""The GEMM design: legal on its device, and what the streams assume of it."""

import pytest

from jax_npu.design.aie_dialect import BufferOp, LockOp, TileOp
from jax_npu.design.gemm_array import GO_LOCK, GemmArray
from jax_npu.design.gemm_design import gemm_design
from jax_npu.design.mlir_text import parse_module, print_module
from jax_npu.design.target_check import check_design

ARRAYS = [
    GemmArray(device, *tile, out=out, b_column_major=b_column_major)
    for device in ("npu1", "npu2", "npu2_4col")
    for tile in ((64, 64, 64), (64, 64, 32), (32, 128, 32), (16, 8, 16))
    for out in ("float32", "bfloat16")
    for b_column_major in (False, True)
]


@pytest.mark.parametrize("array", ARRAYS, ids=str)
def test_the_design_is_legal(array):
    module = gemm_design(array)
    module.verify()
    assert [str(violation) for violation in check_design(module)] == []


@pytest.mark.parametrize("generic", [False, True], ids=["pretty", "generic"])
def test_the_design_survives_text(generic):
    module = gemm_design(GemmArray("npu1", 64, 64, 32))
    read = parse_module(print_module(module, generic=generic))
    assert print_module(read) == print_module(module)


@pytest.mark.parametrize("out", ["float32", "bfloat16"])
def test_parameters_and_go_lie_where_the_streams_write(out):
    array = GemmArray("npu2", out=out)
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
