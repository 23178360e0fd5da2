"""`jax-npu doctor`: what this machine lacks for a backend, and the fix."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from jax_npu.backend_choice import CHOICES, backends
from jax_npu.doctor.diagnosis import Diagnosis, diagnose
from jax_npu.doctor.facts import read_facts
from jax_npu.doctor.finding import MISSING, OK, SKIPPED, WARNING, Finding
from jax_npu.runtime.environment import BACKEND
from jax_npu.runtime.machine import ROOT

STYLES = {OK: "green", MISSING: "bold red", WARNING: "yellow", SKIPPED: "dim"}
STATUS_WIDTH, NAME_WIDTH = 8, 13


def add_doctor_command(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor", help="show what a backend lacks here, and the commands that fix it"
    )
    parser.add_argument(
        "--backend",
        choices=CHOICES,
        help=f"backend to check (default: ${BACKEND.name}, else auto)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=ROOT,
        help="file tree of another machine, examined instead (default: /)",
    )
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    root: Path = arguments.root
    if not root.is_dir():
        raise ValueError(f"--root must be a folder, got {root}; leave it out for /")
    backend = arguments.backend or BACKEND.get() or BACKEND.default
    facts = read_facts(root, backend)
    diagnosis = diagnose(facts, backend, backends() if facts.installation else None)
    if arguments.json:
        print(json.dumps(asdict(diagnosis), indent=2))
    else:
        _print_report(diagnosis)
    return 0 if diagnosis.can_run else 1


def _print_report(diagnosis: Diagnosis) -> None:
    """Prints one or two lines for each finding; commands stay whole, to be copied."""
    console = Console(highlight=False, soft_wrap=True)
    printed = set()
    for finding in diagnosis.checks:
        again = finding.remedy in printed
        console.print(_line(finding, " (same command)" if again else ""))
        if finding.remedy and not again:
            indented = f"{'':{STATUS_WIDTH}}{finding.remedy}"
            console.print(Text(indented, style="bold"))
            printed.add(finding.remedy)
    style = STYLES[OK if diagnosis.can_run else MISSING]
    console.print(Text(diagnosis.verdict, style=style))


def _line(finding: Finding, note: str) -> Text:
    status = f"{finding.status:{STATUS_WIDTH}}"
    name = f"{finding.name:{NAME_WIDTH}}"
    return Text.assemble((status, STYLES[finding.status]), name, finding.found, note)
