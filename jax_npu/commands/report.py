"""`jax-npu report`: what an NPU does here, in one file to send."""

import argparse
import sys
from pathlib import Path
from typing import Any

import rich
from rich.console import Console
from rich.text import Text

from jax_npu.placing import ALL_ON_THE_NPU, placement
from jax_npu.report.record import TrialReport
from jax_npu.report.trial import FULL, QUICK

DEFAULT_FILE = Path("jax-npu-report.json")
BACKENDS = ("npu", "sim", "host")


def add_report_command(commands: Any) -> None:
    parser = commands.add_parser(
        "report", help="try the NPU, and write a report that can be sent"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=DEFAULT_FILE,
        help=f"file (default: {DEFAULT_FILE})",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="npu",
        help="backend to try (default: npu)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: seconds")
    parser.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> int:
    backend, path = arguments.backend, arguments.out
    report = TrialReport(path, backend, QUICK if arguments.quick else FULL)
    report.write()  # an error here costs no time
    try:
        with placement(ALL_ON_THE_NPU):
            report.run()
    except KeyboardInterrupt:
        print(f"jax-npu: interrupted; {path} has what was done", file=sys.stderr)
        return 130
    rich.print(report.table())
    Console(highlight=False, soft_wrap=True).print(Text(report.advice()))
    return 0 if report.record["ok"] else 1
