"""A timeline of the GEMM custom calls, as a file for Perfetto.

https://ui.perfetto.dev shows side by side what XLA called, what each thread of the host
did for it, the queue, and the device.
"""

import contextlib
import ctypes
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from jax_npu.files import write_file
from jax_npu.runtime import extension
from jax_npu.runtime.trace.timeline import trace_events
from jax_npu.runtime.virtual_device import start_timeline, stop_timeline

_recording = threading.Lock()


@contextlib.contextmanager
def trace_calls(path: str | os.PathLike[str]) -> Iterator[None]:
    """Writes a timeline of the custom calls that end within the context.

    JAX computes asynchronously: wait with `block_until_ready` before the context ends.
    The file is in Chrome's trace event format, times in microseconds from the first
    event on. It has tracks for the calls, and for `npu` and `sim` also for the threads
    that pack, flush, unpack and check, for the queue and for the device: a virtual one
    that the process had opened before, exactly, another one as the host sees it. Events
    have their bytes and the product's shape. A call's `packed_bytes` are those of the
    process while it ran: calls at the same time each get the bytes of both. Backend
    `xla` makes no calls. If the context raises, nothing is written.

    Raises:
      RuntimeError: within another trace of this process.
      OSError: if the file cannot be written.
    """
    if not _recording.acquire(blocking=False):
        raise RuntimeError(
            "trace_calls records one trace at a time; end the other first."
        )
    library = extension.load()
    library.jax_npu_trace_stop.restype = ctypes.c_char_p
    recorded, device_runs = b"", []
    try:
        start_timeline()
        library.jax_npu_trace_start()
        try:
            yield
        finally:
            recorded = library.jax_npu_trace_stop()
            device_runs = stop_timeline()
    finally:
        _recording.release()
    events = trace_events(**json.loads(recorded), device_runs=device_runs)
    record = {"displayTimeUnit": "ms", "traceEvents": events}
    write_file(Path(path), json.dumps(record, ensure_ascii=False).encode())
