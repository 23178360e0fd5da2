"""RAPL: the energy counters of the processor's packages, of Intel and AMD alike.

Linux gives both makers' counters the same names in /sys/class/powercap. Only zones
called package-* count, one for each socket or die. Their sub-zones `core` and `uncore`
are parts of them, and `psys` contains them; `dram` lies outside a package, but AMD has
no such counter, and machines are compared. The zones of intel-rapl-mmio are the same
counters again. An XDNA NPU is inside the package, so that its energy is counted.
"""

from pathlib import Path

from jax_npu.energy.readings import NotMeasuredError
from jax_npu.energy.sysfs import name_of, read_integer, read_text

FOLDER = "sys/class/powercap"
TOP_ZONES = "intel-rapl:?"  # intel-rapl:0:0 is a sub-zone
# Only root may read the counters since CVE-2020-8694: they leak what others compute.
READABLE = f"sudo chmod a+r /{FOLDER}/{TOP_ZONES}/energy_uj"
# The same after each boot.
UDEV_RULE = (
    'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl:?", '
    'RUN+="/bin/chmod a+r /sys%p/energy_uj"'
)
MICRO = 1e-6


class Packages:
    """The sum of all packages' counters since the construction."""

    def __init__(self, root: Path, now: float) -> None:
        self._root = root
        self._zones = _packages(root)
        self._ranges = [
            read_integer(root, zone / "max_energy_range_uj") for zone in self._zones
        ]
        names = [read_text(root, zone / "name") for zone in self._zones]
        self.source = f"RAPL {'+'.join(names)}"
        self._start, self._seconds = now, 0.0
        self._last = self._counters()
        self._microjoules = [0 for _ in self._zones]

    def advance(self, now: float) -> None:
        """Adds what the counters have counted; at least once in each wrap-around."""
        counters = self._counters()
        for i, (counter, last) in enumerate(zip(counters, self._last)):
            wrapped = self._ranges[i] if counter < last else 0
            self._microjoules[i] += counter - last + wrapped
        self._last = counters
        self._seconds = now - self._start

    def joules(self) -> float:
        """
        Raises:
          NotMeasuredError: a counter stood still, as in virtual machines.
        """
        for zone, microjoules in zip(self._zones, self._microjoules):
            if microjoules == 0:
                name = name_of(self._root, zone / "energy_uj")
                raise NotMeasuredError(f"{name} stood still for {self._seconds:.2g} s")
        return sum(self._microjoules) * MICRO

    def _counters(self) -> list[int]:
        return [_counter(self._root, zone) for zone in self._zones]


def _packages(root: Path) -> list[Path]:
    zones = sorted((root / FOLDER).glob(TOP_ZONES))
    packages = [z for z in zones if read_text(root, z / "name").startswith("package")]
    if not packages:
        raise NotMeasuredError(f"no package in /{FOLDER}")
    return packages


def _counter(root: Path, zone: Path) -> int:
    try:
        return read_integer(root, zone / "energy_uj")
    except NotMeasuredError as error:
        if isinstance(error.__cause__, PermissionError):
            name = name_of(root, zone / "energy_uj")
            reason = f"only root may read {name}"
            raise NotMeasuredError(reason, READABLE) from error
        raise
