"""A line of the doctor's report."""

from dataclasses import dataclass

OK, MISSING, WARNING, SKIPPED = "ok", "missing", "warning", "skipped"
RELOGIN = "  # then log out and in"


@dataclass(frozen=True)
class Finding:
    """`missing` keeps a backend from running; `remedy` is the command that mends it."""

    name: str
    status: str
    found: str
    remedy: str = ""
