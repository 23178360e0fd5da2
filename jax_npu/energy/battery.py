"""The battery: the power that the whole machine takes from it.

It is only that while the battery discharges: on mains `power_now` is 0, or what charges
the battery.
"""

from pathlib import Path

from jax_npu.energy.readings import NotMeasuredError
from jax_npu.energy.sysfs import read_integer, read_text

FOLDER = "sys/class/power_supply"
MICRO = 1e-6


class Battery:
    """All batteries of the machine, of which one or several discharge."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._batteries = sorted((root / FOLDER).glob("BAT*"))
        if not self._batteries:
            raise NotMeasuredError(f"none in /{FOLDER}")
        self.source = f"battery {'+'.join(one.name for one in self._batteries)}"

    def watts(self) -> float:
        """
        Raises:
          NotMeasuredError: the machine is on mains, or the battery reports no power.
        """
        status = {one: read_text(self._root, one / "status") for one in self._batteries}
        discharging = [one for one in status if status[one] == "Discharging"]
        if not discharging or "Charging" in status.values():
            shown = ", ".join(f"{one.name} {text}" for one, text in status.items())
            raise NotMeasuredError(f"on mains ({shown}); unplug it to measure")
        watts = sum(self._watts_of(one) for one in discharging)
        if watts == 0:
            names = " and ".join(one.name for one in discharging)
            raise NotMeasuredError(f"{names} discharging at 0 W, which no machine can")
        return watts

    def _watts_of(self, battery: Path) -> float:
        # Some drivers sign what flows out.
        if (battery / "power_now").exists():
            return abs(self._read(battery, "power_now")) * MICRO
        current = abs(self._read(battery, "current_now")) * MICRO  # A
        return current * self._read(battery, "voltage_now") * MICRO

    def _read(self, battery: Path, name: str) -> int:
        return read_integer(self._root, battery / name)
