"""The timeline of a page: the trace's events, few enough for a browser to draw."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

MAX_EVENTS = 40_000
RATE = "GB/s"  # the unit of the trace's counters of DDR
COARSEST = 1e-2  # of the whole time
FINEST = 1e-6


class Event(NamedTuple):
    """What a track did from `begin` for `duration`, in us."""

    begin: float
    duration: float
    name: str
    bytes: int
    bd: int
    lock: str
    num_events: int = 1  # of the trace


def timeline(trace_events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tracks with their events, and DDR's rates over time.

    An event is [begin in us, duration, name's number, bytes, BD, lock's number, events
    that it stands for]. Neighbours of one name that are shorter than `resolution` are
    one event, where there are more events than a browser draws.
    """
    tracks: dict[int, dict[str, Any]] = {}
    groups: dict[int, str] = {}
    events: defaultdict[int, list[Event]] = defaultdict(list)
    rates: defaultdict[str, list[list[float]]] = defaultdict(list)
    for one in trace_events:
        phase, details = one["ph"], one.get("args", {})
        if one["name"] == "process_name":
            groups[one["pid"]] = details["name"]
        elif one["name"] == "thread_name":
            tracks[one["tid"]] = {"pid": one["pid"], "name": details["name"]}
        elif phase == "X":
            events[one["tid"]].append(
                Event(
                    one["ts"],
                    one["dur"],
                    one["name"],
                    details.get("bytes", 0),
                    details.get("bd", -1),
                    details.get("lock", ""),
                )
            )
        elif phase == "C" and RATE in details:
            rates[one["name"]].append([round(one["ts"], 3), round(details[RATE], 2)])
    ends = (one.begin + one.duration for track in events.values() for one in track)
    end = max(ends, default=0.0)
    resolution = 0.0
    kept = dict(events)
    while sum(map(len, kept.values())) > MAX_EVENTS and resolution < COARSEST * end:
        resolution = max(2 * resolution, FINEST * end)
        kept = {
            track: list(_merged(ones, resolution)) for track, ones in events.items()
        }
    names = _Numbers()
    shown = [
        {
            "group": groups[track["pid"]],
            "name": track["name"],
            "events": [_row(event, names) for event in kept.get(tid, ())],
        }
        for tid, track in sorted(tracks.items())
    ]
    return {
        "end": end,
        "resolution": resolution,
        "names": list(names),
        "tracks": shown,
        "ddr": rates,
    }


def _merged(events: list[Event], resolution: float) -> Iterator[Event]:
    """Events with short neighbours of one name joined; longer ones stay."""

    def kind(event: Event) -> tuple[bool, str, float]:
        is_short = event.duration < resolution
        # A joined event is not longer than some multiples of the resolution.
        part = event.begin // (8 * resolution) if is_short else event.begin
        return is_short, event.name if not is_short else "", part

    for (is_short, _, _), group in itertools.groupby(events, kind):
        if not is_short:
            yield from group
            continue
        by_name: dict[str, list[Event]] = {}
        for event in group:
            by_name.setdefault(event.name, []).append(event)
        begin = min(one.begin for ones in by_name.values() for one in ones)
        for name, ones in by_name.items():
            # One after the other, each as long as all of its name: times stay true.
            duration = sum(one.duration for one in ones)
            num_bytes = sum(one.bytes for one in ones)
            yield Event(begin, duration, name, num_bytes, -1, "", len(ones))
            begin += duration


class _Numbers(dict[str, int]):
    """Numbers names in the order in which they are asked for."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


def _row(event: Event, names: _Numbers) -> list[float]:
    lock = names[event.lock] if event.lock else -1
    row = [round(event.begin, 4), round(event.duration, 4), names[event.name]]
    tail = [event.bytes, event.bd, lock, event.num_events]
    while tail and tail[-1] == (0, -1, -1, 1)[len(tail) - 1]:
        tail.pop()
    return row + tail
