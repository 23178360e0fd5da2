"""What a design takes of a core's 16 KB of program memory, by an estimate."""

import pytest

from xdna.check.program_memory import core_bytes
from xdna.check.whole_design import check_design
from xdna.devices import CORE
from xdna.dialect.aie import CoreOp
from xdna.gemm.array import GemmArray, default_array
from xdna.gemm.design import KERNELS_OBJECT, gemm_design, one_core
from xdna.gemm.programs.kernel_size import kernels_bytes
from xdna.search.candidates import candidates
from xdna.search.program_memory import program_bytes


@pytest.mark.parametrize("out", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_the_shipped_designs_leave_a_tenth_of_program_memory_free(device, out):
    array = default_array(device, out)
    assert program_bytes(array) <= 0.9 * CORE.program_bytes
    sizes = {KERNELS_OBJECT: kernels_bytes(array)}
    assert check_design(gemm_design(array), program_bytes=sizes) == []


@pytest.mark.parametrize(
    "array",
    [
        GemmArray("npu2", 144, 64, 64, images="tiles", parts=9),
        GemmArray("npu1", 64, 64, 64, "bfloat16", images="tiles", k_slice=128),
        GemmArray("npu1", 64, 64, 32, resident=""),
    ],
    ids=str,
)
def test_the_estimate_is_that_of_the_design_itself(array):
    cores = [op for op in gemm_design(array).walk() if isinstance(op, CoreOp)]
    (own,) = set(map(core_bytes, cores))
    assert own == core_bytes(one_core(array))
    assert program_bytes(array) == own + kernels_bytes(array)


def test_parts_that_alternate_between_buffers_double_the_program():
    seven, eight, nine = (
        core_bytes(one_core(GemmArray("npu1", 16 * n, 32, 32, images="tiles", parts=n)))
        for n in (7, 8, 9)
    )
    assert seven > 1.5 * eight
    assert eight < nine < seven


def test_a_search_leaves_out_what_has_no_room_for_its_program():
    array = GemmArray("npu1", 112, 64, 64, images="tiles", parts=7, c_buffers=1)
    assert program_bytes(array) > CORE.program_bytes
    found = list(candidates("npu1"))
    assert array not in found
    assert all(program_bytes(one) <= CORE.program_bytes for one in found)
