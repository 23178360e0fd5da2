"""What a sensor counted, or the reason why it counted nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

# The sensor of a part of the machine, whose figure is no program's energy.
NPU_SENSOR = "NPU sensor"


@dataclass(frozen=True)
class Reading:
    """Joules that one sensor counted, in that many seconds."""

    source: str  # RAPL package-0
    joules: float
    seconds: float

    @property
    def watts(self) -> float:
        return self.joules / self.seconds


@dataclass(frozen=True)
class NotMeasured:
    """Why a sensor gave no figure; `remedy` is the command that changes it, if any."""

    source: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" (to allow it: {self.remedy})" if self.remedy else ""
        return f"{self.source}: {self.reason}{remedy}"


class NotMeasuredError(Exception):
    """A sensor is not there, cannot be read, or shows what no machine can."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def reasons(results: Iterable[object]) -> str:
    """`not measured` with the reasons among the results, in one line."""
    found = [str(one) for one in results if isinstance(one, NotMeasured)]
    return f"not measured ({'; '.join(found)})"
