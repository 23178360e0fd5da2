"""When the virtual NPU of this process was at work, by the host's clock."""

import ctypes
import json
from typing import Any

from jax_npu.runtime.target import DRIVERS
from xdna.find_library import loaded_library


def device_ns() -> int:
    """Nanoseconds in which a run was on it; 0 in a process that has not opened it.

    A paced run takes as long as on the chip; any other as long as it takes to simulate.
    """
    if (library := _opened()) is None:
        return 0
    library.jax_npu_sim_device_ns.restype = ctypes.c_int64
    ns: int = library.jax_npu_sim_device_ns()
    return ns


def lateness() -> dict[str, int]:
    """By how much paced runs ended later than on the chip: `late_ns` of all `runs`.

    The host wakes a thread late where its cores are busy; `longest_ns` is the worst.
    """
    if (library := _opened()) is None:
        return {"runs": 0, "late_ns": 0, "longest_ns": 0}
    library.jax_npu_sim_lateness.restype = ctypes.c_char_p
    counted: dict[str, int] = json.loads(library.jax_npu_sim_lateness())
    return counted


def start_timeline() -> None:
    """Records every run from now on."""
    if (library := _opened()) is not None:
        library.jax_npu_sim_start_timeline()


def stop_timeline() -> list[dict[str, Any]]:
    """Ends recording; the runs in their order, see `aie/sim/xrt/device_times.h`."""
    if (library := _opened()) is None:
        return []
    library.jax_npu_sim_stop_timeline.restype = ctypes.c_char_p
    runs: list[dict[str, Any]] = json.loads(library.jax_npu_sim_stop_timeline())
    return runs


def _opened() -> ctypes.CDLL | None:
    return loaded_library(DRIVERS["sim"], "jax_npu", "xdna")
