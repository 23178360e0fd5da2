"""The NPU's own power sensor, which amdxdna registers with hwmon.

The driver asks AMD's platform management firmware (amd_pmf), which answers on npu2 from
Linux 7.0 on and never on Phoenix and Hawk Point. amdxdna registers the sensor since May
2026; an older one only answers an ioctl with the same value, `xrt-smi examine -r
platform` shows it, and it is not read here. 0 W is an NPU that sleeps.
"""

from pathlib import Path

from jax_npu.energy.readings import NPU_SENSOR, NotMeasuredError
from jax_npu.energy.sysfs import read_integer
from jax_npu.runtime.machine import text

FOLDER = "sys/class/hwmon"
NAME = "amdxdna"  # as it registers itself
MICRO = 1e-6


class NpuPower:
    """The power of the NPU alone, without memory and host."""

    source = NPU_SENSOR

    def __init__(self, root: Path) -> None:
        self._root = root
        folders = sorted((root / FOLDER).glob("hwmon*"))
        found = [one for one in folders if text(one / "name") == NAME]
        if not found:
            raise NotMeasuredError(f"no {NAME} in /{FOLDER}")
        self._file = found[0] / "power1_input"  # microwatts

    def watts(self) -> float:
        """
        Raises:
          NotMeasuredError: the driver cannot read the sensor.
        """
        return read_integer(self._root, self._file) * MICRO
