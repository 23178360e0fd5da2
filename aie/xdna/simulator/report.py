"""The report of a run: what each part of the virtual NPU did, and for how long.

The engine writes it as JSON with the names of the fields here (`aie/sim/report`).
"""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Cycles of one core, DMA channel, direction of DDR, or of the controller.

    Busy cycles and stalls add up to the cycles of the run, except for DDR.
    """

    busy: int
    bytes: int
    macs: int
    stalls: dict[str, int] = field(default_factory=dict)  # cycles by cause


@dataclass(frozen=True)
class ArgumentUse:
    """The bytes that shims read and wrote of one buffer of a run.

    `runs` counts runs of consecutive bytes: short ones are slow.
    """

    read: int
    written: int
    runs: float

    @property
    def run_bytes(self) -> float:
        """The mean length of a run."""
        return (self.read + self.written) / self.runs if self.runs else 0.0


@dataclass(frozen=True)
class Report:
    """The work and the times of the virtual NPU in one run, or in several.

    `bytes` counts what DMA moved by memory level (ddr, l2, l1) and direction, and as
    "stream" the words times the links that they crossed.
    """

    device: str
    arithmetic: str
    clock_hz: float
    runs: int
    cycles: int  # on the device: launch, controller and array
    controller_cycles: int  # the part of `cycles` in which it executed operations
    submission_seconds: float  # on the host
    device_seconds: float
    macs: int
    kernel_calls: int
    instruction_words: int
    bytes: dict[str, int]
    usage: dict[str, Usage]
    arguments: dict[str, ArgumentUse] = field(default_factory=dict)  # by index
    # What silicon lets pass in the last run, but its designer may not have meant.
    notices: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, text: str) -> "Report":
        values: dict[str, Any] = json.loads(text)
        usage = {name: Usage(**one) for name, one in values.pop("usage").items()}
        arguments = values.pop("arguments").items()
        used = {index: ArgumentUse(**one) for index, one in arguments}
        return cls(**values, usage=usage, arguments=used)

    @property
    def seconds(self) -> float:
        """Time on the device and for the submission."""
        return self.device_seconds + self.submission_seconds

    @property
    def flops_per_second(self) -> float:
        # a multiply-accumulate is two operations
        return 2 * self.macs / self.seconds if self.seconds else 0.0

    def utilisation(self, name: str) -> float:
        """Share of the device's time in which the named resource was busy."""
        return self.usage[name].busy / self.cycles if self.cycles else 0.0

    @property
    def busiest(self) -> str:
        """Name of the resource that was busy for most of the time."""
        return max(self.usage, key=lambda name: self.usage[name].busy, default="none")
