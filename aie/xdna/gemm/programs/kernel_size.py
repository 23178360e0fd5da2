"""The size of the kernels that a core of the GEMM array links: an estimate.

Only the open compiler knows it, and `jax-npu build` asks it. Before that, the kernels'
sources say how many instructions each has: their loops over registers are unrolled, all
others stay loops. A core of mlir-aie's with 33 multiply-accumulates of i8, its own
program included, has some 2,400 bytes (its pull request 3214); by these numbers one
order of `matmul_tiles.cc` has 2,000.
"""

from xdna.devices import INSTRUCTION_BYTES
from xdna.gemm.array import GemmArray

# A block of 16 x 16 of C in f32, which registers hold, in vectors of 256 bits.
_C_VECTORS = 16 * 16 * 4 * 8 // 256
# For 8 k of it: 16 multiply-accumulates (AIE2), and beside them loads and shuffles of
# four blocks of 8 x 8.
_LOOP_INSTRUCTIONS = 24
# Software pipelining begins the loop before it and ends it after it.
_PIPELINED = 3
_OUTER_LOOPS = 24  # their counters and addresses
# Outside of the inner loop few slots of an instruction are used (AM020).
_SHORT_BYTES = INSTRUCTION_BYTES // 2

_MATMUL_BYTES = (
    _LOOP_INSTRUCTIONS * _PIPELINED * INSTRUCTION_BYTES
    + (2 * _C_VECTORS + _OUTER_LOOPS) * _SHORT_BYTES
)
_ZEROS_BYTES = _C_VECTORS // 2 * _SHORT_BYTES  # instead of loads of C
_NUM_ORDERS = 4  # of `matmul_tiles.cc`
_ENTRY_BYTES = 16 * INSTRUCTION_BYTES  # a kernel's arguments, rounding mode, order
_SMALL_LOOP_BYTES = 16 * INSTRUCTION_BYTES  # `zero.cc`, `convert.cc`
_STARTUP_BYTES = 512  # the C runtime's, assumed


def kernels_bytes(array: GemmArray) -> int:
    """Bytes of program memory of all that a core links."""
    if array.is_tiled:
        kernels = _NUM_ORDERS * (_MATMUL_BYTES + _ZEROS_BYTES) + _ENTRY_BYTES
    else:
        kernels = _MATMUL_BYTES + _ENTRY_BYTES + _SMALL_LOOP_BYTES
    if array.out != array.sums:
        kernels += _SMALL_LOOP_BYTES
    return kernels + _STARTUP_BYTES
