"""The array of a run: what each tile did and holds, and the flows between tiles."""

import re
from collections import defaultdict
from typing import Any

from xdna.simulator.report import Report

Lines = list[list[str]]
AGENT = re.compile(r"(shim|memtile|core) \((\d+), (\d+)\)(?: (S2MM|MM2S) (\d+))?")


def tiles(report: Report, lines: Lines) -> list[dict[str, Any]]:
    """The tiles that have a core program, a channel or a buffer.

    A core's times are those of its program. Another tile's are those of its busiest
    channel. Stalls are shares of the run, by cause.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}

    def at(column: int, row: int) -> dict[str, Any]:
        return found.setdefault(
            (column, row),
            {
                "column": column,
                "row": row,
                "kind": ("shim", "memtile")[row] if row < 2 else "core",
                "busy": 0.0,
                "stalls": {},
                "macs": 0,
                "in": 0,
                "out": 0,
                "channels": [],
                "buffers": [],
                "locks": [],
            },
        )

    cycles = report.cycles or 1
    for name, usage in report.usage.items():
        if (agent := AGENT.fullmatch(name)) is None:
            continue
        tile = at(int(agent[2]), int(agent[3]))
        busy = usage.busy / cycles
        stalls = {cause: count / cycles for cause, count in usage.stalls.items()}
        if agent[4] is None:  # a core's program
            tile |= {"busy": busy, "stalls": stalls, "macs": usage.macs, "program": 1}
            continue
        tile["in" if agent[4] == "S2MM" else "out"] += usage.bytes
        channel = f"{agent[4]} {agent[5]}"
        tile["channels"].append([channel, busy, usage.bytes, stalls])
        if "program" not in tile and busy >= tile["busy"]:
            tile |= {"busy": busy, "stalls": stalls}
    for line in lines:
        if line[0] == "buffer":
            at(int(line[1]), int(line[2]))["buffers"].append([line[5], int(line[4])])
        elif line[0] == "lock":
            at(int(line[1]), int(line[2]))["locks"].append(line[5])
    return [found[key] for key in sorted(found)]


def flows(lines: Lines) -> list[dict[str, Any]]:
    """Each MM2S channel with the S2MM channels that it feeds."""
    ends: defaultdict[tuple[int, int, int], list[list[int]]] = defaultdict(list)
    for line in lines:
        if line[0] == "route":
            column, row, channel, *to = map(int, line[1:7])
            ends[column, row, channel].append(to)
    return [{"from": list(source), "to": to} for source, to in sorted(ends.items())]
