"""What a page shows of a run: figures, tiles, flows, operands and the timeline."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from xdna.simulator.bounds import bound, shares
from xdna.simulator.page.array import flows, tiles
from xdna.simulator.page.events import timeline
from xdna.simulator.report import Report

FORMAT = 1  # of the record


def run_record(
    title: str,
    report: Report,
    trace: str,
    configuration: str,
    argument_names: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The record of a run, for `page`.

    Args:
      trace: of the same run, from `VirtualNpu.trace`.
      configuration: that the array was made with.
      argument_names: of the run's buffers, in the order of its arguments.
      notes: further lines of the page's first table, by name.
    """
    lines = [line.split() for line in configuration.splitlines()]
    parameters = {line[1]: float(line[2]) for line in lines if line[0] == "param"}
    events = json.loads(trace)["traceEvents"]
    return {
        "format": FORMAT,
        "title": title,
        "device": report.device,
        "clock_hz": report.clock_hz,
        "seconds": report.seconds,
        "device_seconds": report.device_seconds,
        "submission_seconds": report.submission_seconds,
        "cycles": report.cycles,
        "runs": report.runs,
        "macs": report.macs,
        "kernel_calls": report.kernel_calls,
        "words": report.instruction_words,
        "arithmetic": report.arithmetic,
        "bytes": report.bytes,
        "bound": bound(report),
        "shares": shares(report),
        "notes": dict(notes or {}),
        "arguments": _arguments(report, argument_names),
        "roofline": _roofline(report, lines, parameters),
        "columns": int(parameters["num_columns"]),
        "rows": int(parameters["num_rows"]),
        "tiles": tiles(report, lines),
        "flows": flows(lines),
        "timeline": timeline(events),
    }


def _arguments(report: Report, names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for index, use in sorted(report.arguments.items(), key=lambda item: int(item[0])):
        number = int(index)
        name = names[number] if number < len(names) else ""
        rows.append(
            {
                "index": number,
                "name": name,
                "read": use.read,
                "written": use.written,
                "run_bytes": use.run_bytes,
            }
        )
    return rows


def _roofline(
    report: Report, lines: list[list[str]], parameters: Mapping[str, float]
) -> dict[str, float] | None:
    """The roofs of the cores that have a program, and where the run lies below them.

    The peak is the device's for bfloat16. Both directions share DDR's rate or have it
    each. None for a run that counted no multiply-accumulates or moved nothing.
    """
    moved = [report.bytes.get(f"ddr_{way}", 0) for way in ("read", "write")]
    # Directions that do not share DDR move at the same time.
    through = sum(moved) if parameters["time.ddr_directions_shared"] else max(moved)
    if not report.macs or not through or not report.device_seconds:
        return None
    num_cores = sum(line[0] == "core" for line in lines)
    peak = 2 * num_cores * parameters["bf16_macs_per_cycle"] * report.clock_hz
    return {
        "peak_flops": peak,
        "cores": num_cores,
        "ddr_bytes_per_second": parameters["time.ddr_bytes_per_second"],
        "intensity": 2 * report.macs / through,
        "flops": 2 * report.macs / report.device_seconds,
    }
