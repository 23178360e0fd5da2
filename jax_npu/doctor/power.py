"""The NPU's power mode, clocks and firmware, as its kernel driver reports them.

The numbers and layouts are those of Linux's `include/uapi/drm/amdxdna_accel.h` (6.14).
"""

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jax_npu.runtime.machine import ROOT

NODE = "dev/accel/accel0"
# DRM_IOWR(DRM_COMMAND_BASE + DRM_AMDXDNA_GET_INFO, struct amdxdna_drm_get_info)
GET_INFO = 3 << 30 | 16 << 16 | ord("d") << 8 | 0x40 + 7
QUERY_CLOCKS, QUERY_FIRMWARE, GET_POWER_MODE = 3, 8, 9
CLOCKS = struct.Struct("<16sI4x16sI4x")  # name and MHz, of MP-NPU and H clock
FIRMWARE = struct.Struct("<4I")  # major, minor, patch, build
POWER_MODE = struct.Struct("<B7x")
MODES = ("default", "low", "medium", "high", "turbo")

Ioctl = Callable[[int, int, bytearray], Any]


def read_power(root: Path = ROOT, ioctl: Ioctl = fcntl.ioctl) -> dict[str, Any]:
    """Power mode, clocks in MHz and the running firmware, or why they are unknown.

    Asking wakes an NPU that sleeps. A driver that is too old for a question answers it
    with an error, which then stands in its place.

    Args:
      ioctl: of the device file, for tests.
    """
    path = root / NODE
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return {"problem": f"/{NODE} cannot be opened: {error.strerror}"}
    try:
        return {
            "mode": _ask(ioctl, file, GET_POWER_MODE, POWER_MODE, _mode),
            "clocks_mhz": _ask(ioctl, file, QUERY_CLOCKS, CLOCKS, _clocks),
            "firmware": _ask(ioctl, file, QUERY_FIRMWARE, FIRMWARE, _version),
        }
    finally:
        os.close(file)


def _ask(
    ioctl: Ioctl,
    file: int,
    question: int,
    layout: struct.Struct,
    meaning: Callable[..., Any],
) -> Any:
    answer = ctypes.create_string_buffer(layout.size)
    request = bytearray(
        struct.pack("<IIQ", question, layout.size, ctypes.addressof(answer))
    )
    try:
        ioctl(file, GET_INFO, request)
    except OSError as error:
        return f"the driver does not tell: {error.strerror}"
    return meaning(*layout.unpack(answer.raw))


def _mode(number: int) -> str:
    return MODES[number] if number < len(MODES) else f"unknown, {number}"


def _clocks(*fields: Any) -> dict[str, int]:
    pairs = zip(fields[::2], fields[1::2])
    return {name.rstrip(b"\0").decode(errors="replace"): mhz for name, mhz in pairs}


def _version(*numbers: int) -> str:
    return ".".join(map(str, numbers))
