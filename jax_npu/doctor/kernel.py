"""What the running kernel was told and what it logged, read from files below a root."""

import re
from dataclasses import dataclass
from pathlib import Path

from jax_npu.runtime.machine import ROOT, text

LOGS = ("var/log/dmesg", "var/log/kern.log", "var/log/syslog", "var/log/messages")
LOG_BYTES = 4 << 20  # of a log's end
LINES_KEPT = 200


@dataclass(frozen=True)
class Kernel:
    """The kernel's state.

    Attributes:
      arguments: of its command line.
      num_iommu_groups: None where the kernel's files do not tell.
      log: the latest lines of the NPU's driver; () too where logs are not readable.
    """

    arguments: tuple[str, ...] = ()
    num_iommu_groups: int | None = None
    log: tuple[str, ...] = ()

    def last_logged(self, pattern: str) -> re.Match[str] | None:
        """The latest match in a line of the driver."""
        for line in reversed(self.log):
            if found := re.search(pattern, line):
                return found
        return None


def read_kernel(root: Path = ROOT) -> Kernel:
    groups = root / "sys/kernel/iommu_groups"
    return Kernel(
        arguments=tuple((text(root / "proc/cmdline") or "").split()),
        num_iommu_groups=len(list(groups.iterdir())) if groups.is_dir() else None,
        log=_driver_lines(root),
    )


def _driver_lines(root: Path) -> tuple[str, ...]:
    """Lines about amdxdna in the first log that can be read and has any.

    Only those since the machine last started count: the kernel's first line is a start.
    """
    for name in LOGS:
        lines = _end_of(root / name).splitlines()
        starts = [i for i, line in enumerate(lines) if "Linux version " in line]
        lines = lines[starts[-1] :] if starts else lines
        if found := [line for line in lines if "amdxdna" in line]:
            return tuple(found[-LINES_KEPT:])
    return ()


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
