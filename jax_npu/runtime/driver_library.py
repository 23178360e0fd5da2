"""The libraries of NPUs' drivers that this process has loaded."""

import ctypes
import os

from xdna.find_library import find_library


def opened(name: str) -> ctypes.CDLL | None:
    """A driver's library, if a run has loaded it; it is not loaded for this."""
    try:
        path = find_library(name, "jax_npu", "xdna")
        return ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None
