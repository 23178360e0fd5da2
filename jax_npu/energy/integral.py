"""Energy from samples of power."""

from typing import Protocol


class PowerSensor(Protocol):
    source: str

    def watts(self) -> float: ...


class Integral:
    """The integral of a sensor's power over time, by the trapezoidal rule."""

    def __init__(self, sensor: PowerSensor, now: float) -> None:
        self.source = sensor.source
        self._sensor = sensor
        self._time, self._watts = now, sensor.watts()
        self._joules = 0.0

    def advance(self, now: float) -> None:
        watts = self._sensor.watts()
        self._joules += (now - self._time) * (watts + self._watts) / 2
        self._time, self._watts = now, watts

    def joules(self) -> float:
        return self._joules
