"""How much of a core's program memory a design takes: an estimate."""

import functools
from dataclasses import replace

from xdna.check.program_memory import core_bytes
from xdna.devices import CORE
from xdna.gemm.array import MAX_RESIDENT_SLOTS, GemmArray
from xdna.gemm.design import one_core
from xdna.gemm.programs.kernel_size import kernels_bytes


def fits_program_memory(array: GemmArray) -> bool:
    return program_bytes(array) <= CORE.program_bytes


def program_bytes(array: GemmArray) -> int:
    """Bytes of a core's own program and of the kernels that it links."""
    return _own_bytes(_smallest_alike(array)) + kernels_bytes(array)


def _smallest_alike(array: GemmArray) -> GemmArray:
    """A design with the same program, which buffers' sizes do not change."""
    return replace(
        array,
        m=16 * array.parts,
        k=16,
        n=16,
        c_buffers=array.num_c_buffers,
        k_slice=array.slice_k // array.k * 16,
        resident_slots=MAX_RESIDENT_SLOTS,
    )


@functools.cache
def _own_bytes(array: GemmArray) -> int:
    return core_bytes(one_core(array))
