"""Runs on the virtual NPU with the times of a machine, and how they are printed."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rich

from jax_npu.commands.machine_flags import machine_of
from jax_npu.commands.simulation.run_files import RunFiles
from jax_npu.commands.simulation.simulation_report import report_record, report_table
from xdna.gemm.runs import is_chained
from xdna.machines import Machine
from xdna.simulator import Report, Stopped, Trap, VirtualNpu
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

    @property
    def notes(self) -> dict[str, str]:
        return {"times of": f"{self.machine.name}, kernels by {self.compiler}"}


def run(
    npu: VirtualNpu,
    runs: Sequence[tuple[np.ndarray, list[np.ndarray]]],
    files: RunFiles,
    stop_after: int | None = None,
) -> Report | None:
    """Submits the runs as the driver does, which lets all but a list's first chain.

    Returns:
      The report; None if the runs were stopped before their end, which is then said on
      stderr.

    Raises:
      Trap: once the files show what led there.
    """
    if files.need_trace:
        npu.start_trace()
    buffers: list[np.ndarray] = []
    try:
        for index, (words, buffers) in enumerate(runs):
            npu.run(words, buffers, is_chained(index), stop_after)
    except Trap as trap:
        last = npu.report(of_all_runs=False)
        files.write(npu, last, buffers, str(trap))
        if not isinstance(trap, Stopped):
            raise
        print(f"jax-npu: {trap}", file=sys.stderr)
        return None
    files.write(npu, npu.report(), buffers)
    return npu.report()


def print_report(
    report: Report,
    target: TimedFor,
    further: dict[str, Any],
    title: str,
    as_json: bool,
) -> None:
    for notice in report.notices:
        print(f"jax-npu: notice: {notice}", file=sys.stderr)
    if as_json:
        named = {"machine": target.machine.name, "compiler": target.compiler}
        print(json.dumps(report_record(report) | named | further, indent=2))
        return
    table = report_table(report, title)
    for name, text in target.notes.items():
        table.add_row(name, text)
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
