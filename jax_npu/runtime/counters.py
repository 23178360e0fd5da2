"""What the custom calls of this process did: FLOPs, bytes and times."""

import ctypes
import json
from dataclasses import astuple, dataclass, replace

from jax_npu.runtime import extension
from jax_npu.runtime.virtual_device import device_ns


@dataclass(frozen=True)
class Counters:
    """Counts of products on `host`, `sim` and `npu`, and of updates by `jax_npu.adamw`.

    Bytes are those that a pass over memory read plus those that it wrote. Times are in
    nanoseconds; those of threads are summed over threads.
    """

    calls: int  # products that succeeded
    flops: int  # theirs: 2 b m k n, times the passes that `precision` asks for
    packed_bytes: int  # operands into a kernel's or the array's layout, with rounding
    converted_bytes: int  # where only the dtype changes
    copied_bytes: int  # where data only moves: results out of tiles or images
    call_ns: int  # wall time in which at least one call ran
    pack_ns: int  # thread time of packing
    multiply_ns: int  # thread time of multiplying; 0 for an NPU, which is no thread
    host_calls: int = 0  # of `calls`, those that the host's kernel computed
    host_flops: int = 0  # theirs; a program for an NPU may place products on the host
    packed_images: int = 0  # images of operands that were packed for an NPU
    reused_images: int = 0  # those that an earlier product of the same value had packed
    reused_bytes: int = 0  # what packing these would have read and written
    optimizer_bytes: int = 0  # of parameters, gradients and moments, by `jax_npu.adamw`
    optimizer_ns: int = 0  # thread time of its updates
    # Thread times of the parts of the host's work for an NPU, beside `pack_ns`.
    allocate_ns: int = 0  # device buffers, where none lies idle
    flush_ns: int = 0  # syncs: XRT evicts the buffers' lines from the caches
    flushed_bytes: int = 0  # of the ranges synced
    queue_ns: int = 0  # making commands and submitting them
    unpack_ns: int = 0  # results into XLA's arrays
    check_ns: int = 0  # of results, see `$JAX_NPU_CHECK`
    room_ns: int = 0  # waiting until packed images in flight take less than 256 MB
    wait_ns: int = 0  # of the queue's thread, for the NPU
    # Wall time in which the NPU was at work: of a virtual one exactly, of another until
    # the queue's thread knew of the end.
    device_ns: int = 0

    def __add__(self, other: "Counters") -> "Counters":
        return Counters(*(a + b for a, b in zip(astuple(self), astuple(other))))

    def __sub__(self, before: "Counters") -> "Counters":
        """What was counted since `before`."""
        return Counters(*(a - b for a, b in zip(astuple(self), astuple(before))))


def counters() -> Counters:
    """The counts so far; `after - before` are those of what ran in between.

    JAX computes asynchronously: read them after `block_until_ready`. Products on
    backend `xla` are no custom calls, so they are not counted; `jax_npu.explain` lists
    their FLOPs, too.

    Raises:
      OSError: if the extension cannot be loaded.
    """
    function = extension.load().jax_npu_counters
    function.restype = ctypes.c_char_p
    counted = Counters(**json.loads(function()))
    return replace(counted, device_ns=counted.device_ns + device_ns())
