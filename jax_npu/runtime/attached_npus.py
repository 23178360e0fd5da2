"""The NPUs that are attached to this machine."""

import importlib
from dataclasses import dataclass
from typing import Any

from jax_npu.runtime.machine import Npu, npus

# What XRT's names contain: of amdxdna, "RyzenAI-npu5", or of sale, "NPU Strix Halo".
XRT_NAMES = {
    "npu1": ("npu1", "Phoenix"),
    "npu2": ("npu4", "npu5", "npu6", "Strix", "Krackan"),
}


@dataclass(frozen=True)
class Device:
    """An NPU; `driver` and `firmware` are None where the kernel does not report them.

    `source` is where it was found: `"pyxrt"` or `"sysfs"`.
    """

    name: str
    kind: str  # npu1 or npu2
    pci_address: str
    driver: str | None
    firmware: str | None
    source: str


def devices() -> tuple[Device, ...]:
    """The NPUs of this machine, whether or not a backend can run on them.

    They come from XRT's Python binding `pyxrt` where it can be imported and names any,
    else from the kernel's files: a `pyxrt` for another Python or one that fails does
    no harm, and each device names its `source`. No hardware context is opened.
    """
    return _through_pyxrt() or tuple(_from_sysfs(npu) for npu in npus())


def _through_pyxrt() -> tuple[Device, ...]:
    try:
        pyxrt = importlib.import_module("pyxrt")
        indices = range(pyxrt.enumerate_devices())
        found = [_from_xrt(pyxrt, pyxrt.device(index)) for index in indices]
    # Not installed or for another Python; no XRT at all behind the name (X-ray tracing
    # has a module of it); or XRT fails, with what its C++ throws.
    except (ImportError, AttributeError, RuntimeError, OSError):
        return ()
    return tuple(device for device in found if device)


def _from_xrt(pyxrt: Any, device: Any) -> Device | None:
    """None for what is no NPU: XRT drives FPGAs too."""
    info = pyxrt.xrt_info_device
    name = device.get_info(info.name)
    address = device.get_info(info.bdf)
    npu = next((npu for npu in npus() if npu.address == address), None)
    kind = npu.kind if npu else _kind_of(name)
    if kind is None:
        return None
    driver, firmware = (npu.driver, npu.firmware) if npu else (None, None)
    return Device(name, kind, address, driver, firmware, "pyxrt")


def _kind_of(name: str) -> str | None:
    matches = (k for k, parts in XRT_NAMES.items() if any(p in name for p in parts))
    return next(matches, None)


def _from_sysfs(npu: Npu) -> Device:
    return Device(npu.name, npu.kind, npu.address, npu.driver, npu.firmware, "sysfs")
