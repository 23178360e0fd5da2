"""The report of a trial: what was found and done, and the file that keeps it.

The file is written before and after every stage, so that it also shows which stage
crashed the process or the machine. It names no person and no host.
"""

import json
import math
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import jax_npu
from jax_npu.backend_choice import backends
from jax_npu.doctor.diagnosis import diagnose
from jax_npu.doctor.facts import read_facts
from jax_npu.files import write_file
from jax_npu.report.acceptance import STAGES, Stage
from jax_npu.report.machine_record import (
    describe_design,
    describe_machine,
    scrubber,
)
from jax_npu.report.trial import Outcome, Sizes

FORMAT = 1
OK, FAILED, RUNNING, SKIPPED = "ok", "failed", "running", "skipped"
STYLES = {OK: "green", FAILED: "bold red", SKIPPED: "dim", RUNNING: "bold red"}
# Events that a healthy NPU does not have.
TROUBLE = (
    "retries",
    "mismatches",
    "host_products",
    "failures",
    "failed_self_tests",
    "unhealthy",
)


class TrialReport:
    """The record of a trial on one backend, kept in a file from the first moment on."""

    def __init__(self, path: Path, backend: str, sizes: Sizes) -> None:
        self.path, self.backend, self.sizes = path, backend, sizes
        self.facts = facts = read_facts()
        known = backends()
        self.diagnosis = diagnose(facts, backend, known)
        self.scrub = scrubber(facts)
        self.stages = [{"name": name, "status": SKIPPED} for name in STAGES]
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "ok": False,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "backend": asdict(known[backend]),
            **describe_machine(facts, backend),
            "doctor": asdict(self.diagnosis),
            "sizes": asdict(sizes),
            "stages": self.stages,
            "events": {},
            "health": None,
        }

    def write(self) -> None:
        text = json.dumps(self.scrub(_finite(self.record)), indent=2, allow_nan=False)
        write_file(self.path, (text + "\n").encode())

    def run(self) -> None:
        """Runs all stages if the backend can run; those after a failed one, too."""
        if self.diagnosis.can_run:
            for entry, stage in zip(self.stages, STAGES.values()):
                with Console(stderr=True).status(f"{entry['name']} ..."):
                    self._run(entry, stage)
        if self.backend == "npu":  # whose self-test may have passed meanwhile
            self.record["design"] = describe_design(self.facts)
        self.record["ok"] = all(entry["status"] == OK for entry in self.stages)
        self.write()

    def _run(self, entry: dict[str, Any], stage: Stage) -> None:
        entry["status"] = RUNNING
        self.write()
        before, start = _events(), time.perf_counter()
        try:
            outcome = stage(self.backend, self.sizes)
        except Exception as error:  # every error belongs into the report
            outcome = Outcome(problems=[f"{type(error).__name__}: {error}"])
        entry["seconds"] = time.perf_counter() - start
        self.record["events"] = events = _events()
        self.record["health"] = _health(self.backend)
        entry["events"] = {name: events[name] - before[name] for name in events}
        outcome.problems += [
            f"{name}: {entry['events'][name]}"
            for name in TROUBLE
            if entry["events"].get(name)
        ]
        entry |= asdict(outcome)
        entry["status"] = FAILED if outcome.problems else OK
        self.write()

    def table(self) -> Table:
        table = Table("stage", "", "seconds", "result")
        table.columns[2].justify = "right"
        for entry in self.scrub(self.stages):
            status = entry["status"]
            seconds = f"{entry['seconds']:.1f}" if "seconds" in entry else ""
            result = next(iter(entry.get("problems", ())), entry.get("summary", ""))
            table.add_row(
                entry["name"], Text(status, STYLES[status]), seconds, Text(result)
            )
        return table

    def advice(self) -> str:
        """What the user should do with the file."""
        written = f"{self.path} is written; it names neither you nor this machine."
        if not self.diagnosis.can_run:
            return (
                f"{self.scrub(self.diagnosis.verdict)}\nNothing was run. 'jax-npu "
                f"doctor --backend {self.backend}' lists what to do; if that does not "
                f"help, send the report. {written}"
            )
        if self.record["ok"]:
            return f"All stages passed. Please send the report anyway. {written}"
        return (
            "Do not trust the results of failed stages. Please send the report, "
            f"with the lines of 'sudo dmesg | grep -i amdxdna'. {written}"
        )


def _events() -> dict[str, int]:
    try:
        return jax_npu.npu_events()
    except OSError:  # no extension, which the doctor reports
        return {}


def _health(backend: str) -> dict[str, Any] | None:
    """Health of the NPU on trial, with the result of its last self-test."""
    try:
        health = jax_npu.npu_health().get(backend)
    except OSError:
        return None
    return asdict(health) if health else None


def _finite(value: Any) -> Any:
    """The value with NaN and infinity as text, since JSON has neither."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
