"""`jax-npu calibrate`: the virtual NPU's time against GEMMs measured on silicon.

A row of the table is a published measurement. Our generator makes its design too, and
the virtual NPU runs it with kernels that take their time and compute nothing.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich
from rich.table import Table

from jax_npu.commands.machine_flags import add_machine_flags, machine_of
from xdna.machine_choice import machine
from xdna.machines import Machine
from xdna.simulator.calibration import (
    FITTED,
    MEASURED,
    Comparison,
    Measurement,
    compare,
    mean_absolute_error,
    measurements,
)


def add_calibrate_command(commands: Any) -> None:
    parser = commands.add_parser(
        "calibrate", help="compare simulated times with measured ones"
    )
    parser.add_argument(
        "--csv", type=Path, default=MEASURED, help="measurements (default: published)"
    )
    add_machine_flags(parser)
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(command=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> None:
    comparisons = [
        compare(one, _machine(arguments, one)) for one in measurements(arguments.csv)
    ]
    if not comparisons:
        raise ValueError(f"{arguments.csv} has no measurements")
    mean = mean_absolute_error(comparisons)
    if arguments.json:
        print(json.dumps(_record(comparisons, mean), indent=2))
        return
    rich.print(_table(comparisons))
    for one in comparisons:
        if one.reason:
            named = f"{one.measurement.device}, {one.measurement.design}"
            print(f"{named}: not expressible, {one.reason}")
    print(f"times in us; mean absolute error {mean:.1%}")
    print("fitted:", ", ".join(f"{name} {value:g}" for name, value in FITTED.items()))


def _machine(arguments: argparse.Namespace, one: Measurement) -> Machine | None:
    """The machine that was asked for, where the row is of its NPU."""
    if arguments.machine is None and arguments.clock is None:
        return None
    generation = one.device.split("_")[0]
    if arguments.machine is None or machine(arguments.machine).device == generation:
        return machine_of(arguments, one.device)
    return None


def _record(comparisons: list[Comparison], mean: float) -> dict[str, Any]:
    rows = [
        {
            **asdict(one.measurement),
            "machine": one.machine,
            "simulated_microseconds": one.microseconds,
            "error": one.error,
            "not_expressible": one.reason or None,
        }
        for one in comparisons
    ]
    return {"rows": rows, "mean_absolute_error": mean, "fitted": FITTED}


def _table(comparisons: list[Comparison]) -> Table:
    table = Table("machine", "design", "m, k, n", "measured", "simulated", "error")
    for one in comparisons:
        measured = one.measurement
        simulated, error = "-", "-"
        if one.microseconds is not None and one.error is not None:
            simulated, error = f"{one.microseconds:,.0f}", f"{one.error:+.1%}"
        sizes = f"{measured.m}, {measured.k}, {measured.n}"
        us = f"{measured.microseconds:,.0f}"
        machine_name = one.machine or measured.device
        table.add_row(machine_name, one.short_name, sizes, us, simulated, error)
    for column in table.columns[3:]:
        column.justify = "right"
    return table
