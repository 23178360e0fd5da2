"""The report of a run on the virtual NPU as a table and as JSON."""

import re
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from rich.table import Table

from xdna.simulator import Report
from xdna.simulator.bounds import bound

CORE = re.compile(r"core \(\d+, \d+\)")
NUM_CAUSES = 4  # the largest causes of stalls that the table shows for a kind
LEAST_SHARE = 1e-3
LEVELS = {"ddr": "DDR", "l2": "memtiles (L2)", "l1": "cores (L1)"}


def report_record(report: Report) -> dict[str, Any]:
    """The figures of the table, and every counter."""
    return {
        **asdict(report),
        "seconds": report.seconds,
        "flops_per_second": report.flops_per_second,
        "core_utilisation": core_utilisation(report),
        "stalls": stalls(report),
        "busiest": report.busiest,
        "bound": bound(report),
    }


def core_utilisation(report: Report) -> dict[str, float]:
    cores = [report.utilisation(name) for name in report.usage if CORE.fullmatch(name)]
    mean = sum(cores) / len(cores) if cores else 0.0
    return {"mean": mean, "max": max(cores, default=0.0)}


def stalls(report: Report) -> dict[str, dict[str, float]]:
    """Shares of time for which each kind of core or channel waits, by cause.

    Locks that differ only in a number of their names count as one cause.
    """
    num_agents: defaultdict[str, int] = defaultdict(int)
    cycles: defaultdict[str, defaultdict[str, int]] = defaultdict(
        lambda: defaultdict(int)
    )
    for name, usage in report.usage.items():
        if name.startswith("DDR"):
            continue
        kind = _kind(name)
        num_agents[kind] += 1
        for cause, count in usage.stalls.items():
            cycles[kind][_without_numbers(cause)] += count
    return {
        kind: {
            cause: count / (report.cycles * num_agents[kind])
            for cause, count in sorted(causes.items(), key=lambda item: -item[1])
        }
        for kind, causes in cycles.items()
    }


def report_table(report: Report, title: str) -> Table:
    table = Table("", "", title=title, title_justify="left", show_header=False)
    clock = f"{report.clock_hz / 1e6:,.0f} MHz"
    table.add_row("device", f"{report.device} at {clock}, {report.arithmetic}")
    table.add_row("time", f"{_us(report.seconds)} in {report.runs:,} run(s)")
    table.add_row("  host submits", _us(report.submission_seconds))
    table.add_row(
        "  launch, controller, array",
        f"{_us(report.device_seconds)}, {report.cycles:,} cycles",
    )
    controller = report.controller_cycles / report.clock_hz
    table.add_row(
        "  of it, the controller at work",
        f"{_us(controller)}, {report.instruction_words:,} words",
    )
    if report.macs:
        table.add_row(
            "GFLOP/s, padding included", f"{report.flops_per_second / 1e9:,.1f}"
        )
    cores = core_utilisation(report)
    table.add_row(
        "cores busy", f"{cores['mean']:.1%} on average, {cores['max']:.1%} at most"
    )
    for level, name in LEVELS.items():
        read, written = (
            _kb(report.bytes.get(f"{level}_{way}", 0)) for way in ("read", "write")
        )
        table.add_row(name, f"{read} read, {written} written")
    table.add_row("streams, times hops", _kb(report.bytes.get("stream", 0)))
    for kind, causes in stalls(report).items():
        largest = [item for item in causes.items() if item[1] >= LEAST_SHARE]
        causes_text = ", ".join(
            f"{name} {share:.1%}" for name, share in largest[:NUM_CAUSES]
        )
        table.add_row(f"{kind} waits", causes_text)
    busiest = report.busiest
    table.add_row("busiest", f"{busiest}, {report.utilisation(busiest):.1%}")
    table.add_row("bound by", bound(report))
    return table


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us"


def _kb(num_bytes: int) -> str:
    return f"{num_bytes / 1e3:,.1f} kB"


def _kind(name: str) -> str:
    """ "memtile (0, 1) MM2S 0" to "memtile MM2S"."""
    return re.sub(r" \(\d+, \d+\)| \d+$", "", name)


def _without_numbers(name: str) -> str:
    return "_".join(part for part in name.split("_") if not part.isdecimal())
