"""What befell the NPU in this process: runs, retries, checks, and what they found."""

import ctypes
import json

from jax_npu import ffi


def npu_events() -> dict[str, int]:
    """Counts of this process, of the backends `npu` and `sim`.

    `products` asked for, `runs` of the array that they needed, `commands` of one or
    several runs submitted, results checked (`checks`), attempts after a failure of the
    device (`retries`), results found wrong (`mismatches`), products that the host
    computed for that reason (`host_products`), runs given up with an error
    (`failures`).
    """
    function = ffi.load().jax_npu_events
    function.restype = ctypes.c_char_p
    return json.loads(function())
