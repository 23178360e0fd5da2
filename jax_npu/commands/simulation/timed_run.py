"""Runs on the virtual NPU with the times of a machine, and how they are printed."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rich

from jax_npu.commands.machine_flags import machine_of
from jax_npu.commands.simulation.simulation_report import report_record, report_table
from jax_npu.files import write_file
from xdna.gemm.runs import is_chained
from xdna.machines import Machine
from xdna.simulator import Report, VirtualNpu
from xdna.timing import Timing, timing


@dataclass(frozen=True)
class TimedFor:
    """What times hold for."""

    machine: Machine
    compiler: str
    times: Timing

    @classmethod
    def of(cls, arguments: argparse.Namespace, device: str) -> "TimedFor":
        chosen = machine_of(arguments, device)
        times = timing(device, chosen, arguments.compiler)
        return cls(chosen, arguments.compiler, times)


def run(
    npu: VirtualNpu,
    runs: list[tuple[np.ndarray, list[np.ndarray]]],
    trace: Path | None,
) -> Report:
    """Submits the runs as the driver does, which lets all but a list's first chain."""
    if trace is not None:
        npu.start_trace()
    try:
        for index, (words, buffers) in enumerate(runs):
            npu.run(words, buffers, is_chained(index))
    finally:  # a trap's trace shows what led there
        if trace is not None:
            write_file(trace, npu.trace().encode())
    return npu.report()


def print_report(
    report: Report,
    target: TimedFor,
    further: dict[str, Any],
    title: str,
    as_json: bool,
) -> None:
    if as_json:
        named = {"machine": target.machine.name, "compiler": target.compiler}
        print(json.dumps(report_record(report) | named | further, indent=2))
        return
    table = report_table(report, title)
    table.add_row("times of", f"{target.machine.name}, kernels by {target.compiler}")
    if check := further.get("check"):
        table.add_row(
            "largest error against NumPy",
            f"{check['largest_error']:.1e} of the accumulated mass, bound "
            f"{check['bound']:.0e}",
        )
    if wall := further.get("wall_seconds"):
        table.add_row(
            "the simulator took",
            f"{wall:.3f} s, {wall / report.seconds:,.0f} times as long as the NPU",
        )
    rich.print(table)
