"""One line of what the doctor prints."""

from dataclasses import dataclass

OK, MISSING, WARNING, SKIPPED = "ok", "missing", "warning", "skipped"
RELOGIN = "  # then log out and in"


@dataclass(frozen=True)
class Finding:
    """The result of one check; with status `missing` a backend cannot run."""

    name: str
    status: str
    found: str  # what the check saw
    remedy: str = ""  # the command that fixes it
