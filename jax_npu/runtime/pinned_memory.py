"""The memory that NPUs read and write, which the kernel must keep in place."""

import ctypes
import resource
from dataclasses import dataclass

from jax_npu.runtime.target import DRIVERS
from xdna.find_library import loaded_library

# XRT maps the NPU's heap when it opens the device: an mmap of 64 MiB, locked.
HEAP_BYTES = 64 << 20


@dataclass(frozen=True)
class PinnedMemory:
    """Bytes of the device buffers of this process.

    A virtual NPU's count as a chip's would, though nothing pins them.

    Attributes:
      now: images in use, images kept for later products, idle buffers, instructions.
      most: at one time so far.
      limit: that this process may lock, `ulimit -l`; None without a limit.
    """

    now: int
    most: int
    limit: int | None


def pinned_memory() -> PinnedMemory:
    """What the buffers of the NPUs that this process has opened take."""
    now = most = 0
    for name in DRIVERS.values():
        library = loaded_library(name, "jax_npu", "xdna")
        if library is None:
            continue
        counts = ctypes.c_int64(), ctypes.c_int64()
        library.jax_npu_pinned_bytes(*map(ctypes.byref, counts))
        now, most = now + counts[0].value, most + counts[1].value
    return PinnedMemory(now, most, memlock_limit())


def memlock_limit() -> int | None:
    """Bytes that this process may lock; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if limit == resource.RLIM_INFINITY else limit
