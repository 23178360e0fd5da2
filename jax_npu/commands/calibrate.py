"""`jax-npu calibrate`: the virtual NPU's time against GEMMs measured on silicon.

A row of the table is a published measurement. Our generator makes its design too, with
its kernels or with kernels that take no time; where it cannot, the reason is printed.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich
from rich.table import Table

from xdna.simulator.calibration import (
    MEASURED,
    Comparison,
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
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(command=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> None:
    comparisons = [compare(one) for one in measurements(arguments.csv)]
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


def _record(comparisons: list[Comparison], mean: float) -> dict[str, Any]:
    rows = [
        {
            **asdict(one.measurement),
            "simulated_microseconds": one.microseconds,
            "error": one.error,
            "not_expressible": one.reason or None,
        }
        for one in comparisons
    ]
    return {"rows": rows, "mean_absolute_error": mean}


def _table(comparisons: list[Comparison]) -> Table:
    table = Table("device", "design", "m, k, n", "measured", "simulated", "error")
    for one in comparisons:
        measured = one.measurement
        simulated, error = "-", "-"
        if one.microseconds is not None and one.error is not None:
            simulated, error = f"{one.microseconds:,.0f}", f"{one.error:+.1%}"
        sizes = f"{measured.m}, {measured.k}, {measured.n}"
        us = f"{measured.microseconds:,.0f}"
        table.add_row(measured.device, measured.design, sizes, us, simulated, error)
    for column in table.columns[3:]:
        column.justify = "right"
    return table
