"""The shared object of `aie/sim`, loaded with ctypes: the functions of `c_api.h`.

A function that fails returns null or another number than 0, and `npu_sim_error` then
returns the reason.
"""

import ctypes
import functools

from xdna.find_library import find_library

LIBRARY = "libnpu_sim.so"

POINTER, TEXT, INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
POINTERS = ctypes.POINTER(ctypes.c_void_p)
INT64, INT64S = ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)

# NpuSimKernel: (data, sizes in bytes, scalars), one of each for every argument of a
# call. It returns 0, or another number if the kernel failed.
KernelFunction = ctypes.CFUNCTYPE(INT, POINTERS, INT64S, INT64S)


class KernelInfo(ctypes.Structure):
    """NpuSimKernelInfo."""

    _fields_ = (
        ("name", TEXT),
        ("run", KernelFunction),
        ("num_arguments", INT),
        ("accesses", TEXT),
        ("cycles", INT64),
        ("macs", INT64),
        ("cascade_in_bytes", INT64),
        ("cascade_out_bytes", INT64),
    )


# Name: (result, arguments).
SIGNATURES = {
    "npu_sim_error": (TEXT, []),
    # configuration, arithmetic, b_column_major, only_timed, kernels, num_kernels
    "npu_sim_open": (POINTER, [TEXT, TEXT, INT, INT, ctypes.POINTER(KernelInfo), INT]),
    "npu_sim_add_design": (INT, [POINTER, INT, TEXT]),  # sim, pdi, configuration
    "npu_sim_close": (None, [POINTER]),
    # sim, words, num_words, data and bytes of each argument, num_arguments, is_chained,
    # stop_after
    "npu_sim_run": (INT, [POINTER, POINTER, INT64, POINTERS, INT64S, INT, INT, INT64]),
    "npu_sim_reset": (None, [POINTER]),
    "npu_sim_report": (TEXT, [POINTER, INT]),  # sim, of_all_runs
    "npu_sim_state": (TEXT, [POINTER]),
    "npu_sim_memory": (POINTER, [POINTER, INT, INT, INT64S]),  # column, row, bytes
    "npu_sim_start_trace": (None, [POINTER]),
    "npu_sim_trace": (TEXT, [POINTER]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
      OSError: if it was not built or cannot be loaded.
    """
    loaded = ctypes.CDLL(str(find_library(LIBRARY, "xdna")))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
