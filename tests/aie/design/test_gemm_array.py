"""The array's configuration: what fits a core and a memtile."""

import itertools

import pytest

from jax_npu.design.devices import CORE, DEVICES, MEMTILE, device
from jax_npu.design.gemm_array import STACK_BYTES, GemmArray

TILES = [(64, 64, 64), (64, 64, 32), (32, 32, 32), (16, 8, 16), (96, 64, 32)]


@pytest.mark.parametrize("out", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", TILES)
def test_buffers_fit_apart_from_each_other_and_the_stack(tile, out):
    array = GemmArray("npu1", *tile, out=out)
    for buffers, limit, first in (
        (array.core_buffers, CORE.memory_bytes, STACK_BYTES),
        (array.memtile_buffers, MEMTILE.memory_bytes, 0),
    ):
        placed = sorted(buffers.values(), key=lambda b: b.address)
        assert placed[0].address >= first
        assert placed[-1].address + placed[-1].num_bytes <= limit
        for lower, upper in itertools.pairwise(placed):
            assert lower.address + lower.num_bytes <= upper.address
            assert upper.address % 32 == 0


def test_a_buffer_that_fits_a_bank_crosses_no_border():
    bank_bytes = CORE.memory_bytes // CORE.num_banks
    for tile in TILES:
        for buffer in GemmArray("npu1", *tile).core_buffers.values():
            last = buffer.address + buffer.num_bytes - 1
            if buffer.num_bytes <= bank_bytes:
                assert buffer.address // bank_bytes == last // bank_bytes


def test_c_has_two_buffers_where_they_fit():
    assert GemmArray("npu1", 64, 64, 32).num_c_buffers == 2
    assert GemmArray("npu1", 64, 64, 64).num_c_buffers == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("npu1", 128, 128, 64), "do not fit"),
        (("npu1", 60, 64, 64), "m to be a multiple of 16, got 60"),
        (("npu1", 64, 60, 64), "k to be a multiple of 8, got 60"),
        (("npu1", 64, 64, 0), "n to be a multiple of 16, got 0"),
        (("npu1", 64, 64, 64, "float16"), "float32, got 'float16'"),
        (("npu1_2col",), "needs 4 columns"),
        (("npu3",), "device must be one of npu1,"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GemmArray(*arguments)


def test_a_enters_at_a_column_of_its_own_for_each_core_row():
    assert GemmArray("npu1").a_columns == (0, 1, 2, 3)
    assert GemmArray("npu2").a_columns == (0, 2, 4, 6)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_has_one_shim_one_memtile_and_four_cores_a_column(name):
    found = device(name)
    for column in range(found.num_columns):
        kinds = [found.tile(column, row).name for row in range(found.num_rows)]
        assert kinds == ["shim", "memtile", *["core"] * 4]
    with pytest.raises(ValueError, match=rf"got tile \({found.num_columns}, 0\)"):
        found.tile(found.num_columns, 0)
