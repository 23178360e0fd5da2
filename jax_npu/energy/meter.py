"""The meter of a block of Python: joules by every sensor that can be read."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from jax_npu.energy.readings import (
    NPU_SENSOR,
    NotMeasured,
    NotMeasuredError,
    Reading,
    reasons,
)
from jax_npu.energy.sensors import EnergySensor, start_sensors
from jax_npu.runtime.machine import ROOT

# Between samples. Firmware renews most figures of power once a second or less often;
# no package's counter wraps within a minute.
INTERVAL_SECONDS = 0.5


class Meter:
    """Context manager that counts the energy of its block.

        with jax_npu.energy.Meter() as meter:
            work()
        print(meter.joules, meter.source)

    A thread samples all sensors every `INTERVAL_SECONDS`. Every program on the machine
    counts, and so does the machine's idling.

    Args:
      root: the file tree whose /sys is read.
      clock: seconds, as `time.monotonic`.
    """

    def __init__(
        self, root: Path = ROOT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root, self._clock = root, clock
        self._sensors: list[EnergySensor | NotMeasured] = []
        self._start = self._last = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_often, daemon=True)

    def __enter__(self) -> "Meter":
        self._start = self._last = self._clock()
        self._sensors = start_sensors(self._root, self._start)
        if any(not isinstance(one, NotMeasured) for one in self._sensors):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sample()
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def joules(self) -> float | None:
        """Joules until the last sample, of `source`; None if it was not measured."""
        reading = self._preferred()
        return reading.joules if reading else None

    @property
    def source(self) -> str | None:
        """The sensor of `joules`: the package's counters, else the battery."""
        reading = self._preferred()
        return reading.source if reading else None

    def sample(self) -> None:
        """Reads all sensors now; one that fails once gives no figure any more."""
        with self._lock:
            if self._ended.is_set():
                return
            self._last = self._clock()
            for i, sensor in enumerate(self._sensors):
                if isinstance(sensor, NotMeasured):
                    continue
                try:
                    sensor.advance(self._last)
                except NotMeasuredError as error:
                    self._sensors[i] = _failed(sensor, error)

    def readings(self) -> list[Reading | NotMeasured]:
        """What each sensor counted until the last sample, the preferred one first."""
        with self._lock:
            seconds = self._last - self._start
            return [_reading(sensor, seconds) for sensor in self._sensors]

    def __str__(self) -> str:
        readings = self.readings()
        shown = [
            f"{one.joules:.4g} J in {one.seconds:.3g} s ({one.source})"
            for one in readings
            if isinstance(one, Reading)
        ]
        return ", ".join(shown) or reasons(readings)

    def _preferred(self) -> Reading | None:
        whole = (one for one in self.readings() if one.source != NPU_SENSOR)
        return next((one for one in whole if isinstance(one, Reading)), None)

    def _sample_often(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            self.sample()


def _reading(
    sensor: EnergySensor | NotMeasured, seconds: float
) -> Reading | NotMeasured:
    if isinstance(sensor, NotMeasured):
        return sensor
    try:
        return Reading(sensor.source, sensor.joules(), seconds)
    except NotMeasuredError as error:
        return _failed(sensor, error)


def _failed(sensor: EnergySensor, error: NotMeasuredError) -> NotMeasured:
    return NotMeasured(sensor.source, error.reason, error.remedy)
