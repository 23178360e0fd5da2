"""Events of a timeline in Chrome's trace format, from what C++ recorded.

The tracks are of three processes, so that Perfetto groups them: the calls by the thread
that XLA called from, the host's threads, and the NPU with its queue.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from jax_npu.runtime.target import shown_name

Event = dict[str, Any]
Track = tuple[int, str]  # a group's number, and the track's name in it

CALLS, HOST, NPU = 1, 2, 3
GROUPS = {CALLS: "custom calls", HOST: "host threads", NPU: "NPU"}
QUEUE, DEVICE = "queue: submitted, until the host knows of the end", "device"
TIMES = ("start_ns", "end_ns")


def trace_events(
    calls: Iterable[Event],
    parts: Iterable[Event] = (),
    runs: Iterable[Event] = (),
    device_runs: Iterable[Event] = (),
) -> list[Event]:
    """Complete events, each on a track on which no two overlap, and the tracks' names.

    Args:
      calls, parts, runs: as `xla_ffi/trace/recorder.h` has them. A part is one of the
        host's work, a run is of the array.
      device_runs: those of a virtual NPU, see `aie/sim/xrt/device_times.h`. Without
        them the device's track has the runs as the host sees them.
    """
    submitted = sorted(runs, key=lambda run: run["start_ns"])
    on_device = sorted(device_runs, key=lambda run: run["start_ns"])
    named = _with_products(on_device, submitted) or _as_the_host_sees(submitted)
    placed = [
        *(
            (CALLS, _caller(call), _call_name(call), call["backend"], call)
            for call in calls
        ),
        *(
            (HOST, f"thread {part['thread']}", part["name"], "host", part)
            for part in parts
        ),
        *((NPU, QUEUE, product_name(run), "queue", run) for run in submitted),
        *((NPU, DEVICE, product_name(run), "device", run) for run in named),
    ]
    placed.sort(key=lambda one: one[-1]["start_ns"])
    origin = placed[0][-1]["start_ns"] if placed else 0
    lanes = _Lanes()
    events = [
        _event(lanes.place(group, track, args), name, category, args, origin)
        for group, track, name, category, args in placed
    ]
    return [*lanes.names(), *events]


def product_name(event: Event) -> str:
    """(m, k) x (k, n) of the product that an event is of; "" of none or several."""
    if not event.get("product"):
        return ""
    return _shape(
        event, f"({event['m']}, {event['k']})", f"({event['k']}, {event['n']})"
    )


def _call_name(call: Event) -> str:
    """(m, k) x (k, n), with ᵀ on what lies the other way."""
    m, k, n = call["m"], call["k"], call["n"]
    lhs = f"({m}, {k})" if call["lhs"] == "mk" else f"({k}, {m})ᵀ"
    rhs = f"({k}, {n})" if call["rhs"] == "kn" else f"({n}, {k})ᵀ"
    return _shape(call, lhs, rhs)


def _shape(event: Event, lhs: str, rhs: str) -> str:
    batch = f"{event['batch']} x " if event["batch"] > 1 else ""
    return f"{batch}{lhs} x {rhs}"


def _caller(call: Event) -> str:
    return f"{shown_name(call['backend'])}, called from thread {call['thread']}"


def _with_products(
    on_device: Sequence[Event], submitted: Sequence[Event]
) -> list[Event]:
    """The device's runs, each with the product whose run was submitted before it.

    Runs take place in the order in which they were submitted. One that no product asked
    for, such as a self-test's, lies in no submitted run.
    """
    named, waiting = [], list(submitted)
    for run in on_device:
        while waiting and waiting[0]["end_ns"] < run["end_ns"]:
            waiting.pop(0)  # its end came before this run's
        fits = waiting and waiting[0]["start_ns"] <= run["start_ns"]
        product = waiting.pop(0) if fits else {"product": 0}
        of_product = {k: v for k, v in product.items() if k not in (*TIMES, "bytes")}
        moved = run["read_bytes"] + run["written_bytes"]
        named.append({**of_product, **run, "bytes": moved})
    return named


def _as_the_host_sees(submitted: Sequence[Event]) -> list[Event]:
    """Runs one after the other: each begins when the one before has ended."""
    seen, latest = [], 0
    for run in submitted:
        start = max(run["start_ns"], latest)
        latest = max(run["end_ns"], start)
        seen.append({**run, "start_ns": start, "end_ns": latest, "seen_by": "host"})
    return seen


class _Lanes:
    """The tracks. Events that overlap, though of one thread, get lanes of their own."""

    def __init__(self) -> None:
        self._busy_until: dict[tuple[Track, int], int] = {}
        self._numbers: dict[tuple[Track, int], int] = {}

    def place(self, group: int, track: str, event: Event) -> tuple[int, int]:
        """The group and the number of the track for an event; they come by time."""
        lane = 0
        while self._busy_until.get(((group, track), lane), 0) > event["start_ns"]:
            lane += 1
        key = (group, track), lane
        self._busy_until[key] = event["end_ns"]
        return group, self._numbers.setdefault(key, len(self._numbers) + 1)

    def names(self) -> list[Event]:
        groups = dict.fromkeys(group for ((group, _), _) in self._numbers)
        return [
            *(_meta("process_name", group, 0, GROUPS[group]) for group in groups),
            *(
                _meta(
                    "thread_name", group, number, track + f" ({lane + 1})" * bool(lane)
                )
                for ((group, track), lane), number in self._numbers.items()
            ),
        ]


def _meta(kind: str, group: int, number: int, name: str) -> Event:
    return {
        "ph": "M",
        "name": kind,
        "pid": group,
        "tid": number,
        "args": {"name": name},
    }


def _event(
    place: tuple[int, int], name: str, category: str, args: Event, origin: int
) -> Event:
    shown = {k: v for k, v in args.items() if k not in TIMES and k != "name"}
    if shape := product_name(args):
        shown["shape"] = shape
    return {
        "ph": "X",
        "name": name or category,
        "cat": category,
        "pid": place[0],
        "tid": place[1],
        "ts": (args["start_ns"] - origin) / 1e3,
        "dur": (args["end_ns"] - args["start_ns"]) / 1e3,
        "args": shown,
    }
