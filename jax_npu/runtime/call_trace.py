"""A trace of the GEMM custom calls, as a file for Perfetto (https://ui.perfetto.dev)."""

import contextlib
import ctypes
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jax_npu.files import write_file
from jax_npu.runtime import extension

_recording = threading.Lock()


@contextlib.contextmanager
def trace_calls(path: str | os.PathLike[str]) -> Iterator[None]:
    """Writes a trace of the custom calls that end within the context.

    JAX computes asynchronously: wait with `block_until_ready` before the context ends.
    The file is in Chrome's trace event format, times in microseconds from the first
    call on. A call's `packed_bytes` are those of the process while it ran: calls at
    the same time each get the bytes of both. Backend `xla` makes no calls. If the
    context raises, nothing is written.

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
    calls = b"[]"
    try:
        library.jax_npu_trace_start()
        try:
            yield
        finally:
            calls = library.jax_npu_trace_stop()
    finally:
        _recording.release()
    record = {"displayTimeUnit": "ms", "traceEvents": trace_events(json.loads(calls))}
    write_file(Path(path), json.dumps(record, ensure_ascii=False).encode())


def trace_events(calls: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Complete events of the recorded calls; overlapping ones get their own tracks."""
    ordered = sorted(calls, key=lambda call: call["start_ns"])
    origin = ordered[0]["start_ns"] if ordered else 0
    busy_until: dict[tuple[str, int, int], int] = {}  # of a track, which is the key
    tracks: dict[tuple[str, int, int], int] = {}
    events = []
    for call in ordered:
        track = _free_track(call, busy_until)
        busy_until[track] = call["end_ns"]
        number = tracks.setdefault(track, len(tracks) + 1)
        events.append(_event(call, origin, number))
    return [_track_name(track, number) for track, number in tracks.items()] + events


def _free_track(
    call: dict[str, Any], busy_until: dict[tuple[str, int, int], int]
) -> tuple[str, int, int]:
    lane = 0
    while True:
        track = call["backend"], call["thread"], lane
        if busy_until.get(track, 0) <= call["start_ns"]:
            return track
        lane += 1


def _track_name(track: tuple[str, int, int], number: int) -> dict[str, Any]:
    backend, thread, lane = track
    name = f"{backend}, called from thread {thread}" + f" ({lane + 1})" * bool(lane)
    return {
        "ph": "M",
        "name": "thread_name",
        "pid": os.getpid(),
        "tid": number,
        "args": {"name": name},
    }


def _event(call: dict[str, Any], origin: int, track: int) -> dict[str, Any]:
    args = {k: v for k, v in call.items() if k not in ("start_ns", "end_ns")}
    return {
        "ph": "X",
        "name": _name(call),
        "cat": call["backend"],
        "pid": os.getpid(),
        "tid": track,
        "ts": (call["start_ns"] - origin) / 1e3,
        "dur": (call["end_ns"] - call["start_ns"]) / 1e3,
        "args": args,
    }


def _name(call: dict[str, Any]) -> str:
    """(m, k) x (k, n), with ᵀ on what lies the other way."""
    m, k, n = call["m"], call["k"], call["n"]
    lhs = f"({m}, {k})" if call["lhs"] == "mk" else f"({k}, {m})ᵀ"
    rhs = f"({k}, {n})" if call["rhs"] == "kn" else f"({n}, {k})ᵀ"
    batch = f"{call['batch']} x " if call["batch"] > 1 else ""
    return f"{batch}{lhs} x {rhs}"
