"""The bf16 peak of this machine's cores, measured."""

import ctypes
import os

from jax_npu import ffi


def host_peak_flops(seconds: float = 0.1) -> float | None:
    """FLOP/s of multiply instructions of the host GEMM's instruction set on registers.

    On as many threads as the process may use cores, for about `seconds`. None where the
    extension does not measure it.
    """
    try:
        function = ffi.load().jax_npu_host_peak_flops
    except AttributeError:
        return None
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_int, ctypes.c_double]
    peak = function(num_cores(), seconds)
    return peak if peak > 0 else None


def num_cores() -> int:
    """That the process may use."""
    return len(os.sched_getaffinity(0))
