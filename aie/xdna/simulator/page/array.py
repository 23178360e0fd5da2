"""The array of a run: what each tile did and holds, and the flows between tiles."""

import re
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
    """Each sending port with the ports that it feeds, and the IDs of its packets.

    A port is the number of an MM2S or S2MM channel, or a name.
    """
    found: dict[tuple[int, int, int | str, bool], dict[str, Any]] = {}
    for line in lines:
        if line[0] not in ("route", "packet_route"):
            continue
        is_packets = line[0] == "packet_route"
        source, to = _port(line[1:4]), _port(line[4:7])
        flow = found.setdefault(
            (*source, is_packets), {"from": [*source], "to": [], "packets": []}
        )
        if [*to] not in flow["to"]:
            flow["to"].append([*to])
        if is_packets and int(line[8]) not in flow["packets"]:
            flow["packets"].append(int(line[8]))
    return list(found.values())


def _port(words: list[str]) -> tuple[int, int, int | str]:
    column, row, port = words
    return int(column), int(row), int(port) if port.isdecimal() else port
