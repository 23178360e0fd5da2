"""All sensors of energy, in the order in which their figures are preferred.

The package's counters are exact to a millisecond. A battery shows the whole machine's
power, but renews its figure after seconds only. The NPU's sensor shows a part.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from jax_npu.energy.battery import Battery
from jax_npu.energy.integral import Integral
from jax_npu.energy.npu_power import NpuPower
from jax_npu.energy.rapl import Packages
from jax_npu.energy.readings import NPU_SENSOR, NotMeasured, NotMeasuredError
from jax_npu.runtime.machine import ROOT


class EnergySensor(Protocol):
    """Counts from its construction on; each method may raise NotMeasuredError."""

    source: str

    def advance(self, now: float) -> None: ...

    def joules(self) -> float: ...


class Available(NamedTuple):
    """Names of the sensors that can be read, and why the others cannot."""

    sources: list[str]
    missing: list[NotMeasured]


# Name where the sensor is missing -> its constructor of (root, seconds now).
SENSORS: dict[str, Callable[[Path, float], EnergySensor]] = {
    "RAPL": Packages,
    "battery": lambda root, now: Integral(Battery(root), now),
    NPU_SENSOR: lambda root, now: Integral(NpuPower(root), now),
}


def start_sensors(root: Path, now: float) -> list[EnergySensor | NotMeasured]:
    """Starts the sensors that can be read below `root`, in the order of `SENSORS`."""
    started: list[EnergySensor | NotMeasured] = []
    for name, start in SENSORS.items():
        try:
            started.append(start(root, now))
        except NotMeasuredError as error:
            started.append(NotMeasured(name, error.reason, error.remedy))
    return started


def available(root: Path = ROOT) -> Available:
    """What of the machine below `root` can be read now."""
    sensors = start_sensors(root, 0.0)
    missing = [one for one in sensors if isinstance(one, NotMeasured)]
    return Available([one.source for one in sensors if one not in missing], missing)
