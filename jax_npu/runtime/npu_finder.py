"""Where the driver and the design of an NPU are: asked by a program's first call on it.

A program names a device and the key of a design, never a file. So it runs wherever
jax-npu is installed, and one that comes from elsewhere chooses nothing that is loaded.
"""

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

from jax_npu.runtime.target import DRIVERS, NPUS, npu_device
from xdna.find_library import find_library


class FoundNpu(NamedTuple):
    """The driver's library, the file that it loads, and `designs.design_key`."""

    library: Path
    design: Path
    design_key: str


def find_npu(backend: str, device: str) -> FoundNpu:
    """The driver and the design for `device` in this process.

    Raises:
      OSError: if the driver or the design is not built, or the cache cannot be written.
      ValueError: for a device that `backend` does not run on here, and for a design
        that instructions are not made for.
    """
    if device not in NPUS:
        raise ValueError(
            f"the program is for device {device!r}, and this version of jax-npu knows "
            f"{', '.join(NPUS)}; make it again here"
        )
    # The array's program takes long to import, and no call on the host needs it.
    from jax_npu.runtime.designs import built_design, design_key, simulated_design

    if backend == "npu" and (here := npu_device(backend)) != device:
        raise ValueError(
            f"the program is for {device}, and the NPU here is {here}; make it again "
            "here"
        )
    find_design = built_design if backend == "npu" else simulated_design
    return FoundNpu(
        find_library(DRIVERS[backend], "jax_npu", "xdna"),
        find_design(device),
        design_key(backend, device),
    )


class _Answer(ctypes.Structure):
    """`FoundNpu` of `xla_ffi/driver/open.h`."""

    _fields_ = (
        ("library", ctypes.c_char * 4096),
        ("design", ctypes.c_char * 4096),
        ("design_key", ctypes.c_char * 64),
        ("error", ctypes.c_char * 4096),
    )


def _answer(backend: bytes, device: bytes, found: Any) -> None:
    """Any error becomes that of the call."""
    try:
        npu = find_npu(backend.decode(), device.decode(errors="replace"))
        found.contents.library = bytes(npu.library)
        found.contents.design = bytes(npu.design)
        found.contents.design_key = npu.design_key.encode()
    except Exception as error:
        found.contents.error = (str(error) or repr(error)).encode()[:4095]


# `FindNpu` of `xla_ffi/driver/open.h`; the extension calls it from XLA's threads.
answer = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(_Answer)
)(_answer)
