"""Energy, measured: by the package's counters, the battery and the NPU's own sensor.

A program measures its own work with `Meter`; `per_step` takes the difference of a long
and a short run. `available` lists what can be read on this machine.
"""

from jax_npu.energy.meter import INTERVAL_SECONDS, Meter
from jax_npu.energy.per_step import StepEnergy, per_step
from jax_npu.energy.readings import NotMeasured, Reading, reasons
from jax_npu.energy.sensors import Available, available

__all__ = [
    "INTERVAL_SECONDS",
    "Available",
    "Meter",
    "NotMeasured",
    "Reading",
    "StepEnergy",
    "available",
    "per_step",
    "reasons",
]
