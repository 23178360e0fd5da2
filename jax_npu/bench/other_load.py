"""The load of other processes on the cores while something is measured."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from jax_npu.runtime.machine import ROOT

NOTABLE = 0.1  # share of the cores' time; a lower one disturbs no median


class OtherLoad:
    """CPU time of all processes but `pids` and this one, since the construction."""

    def __init__(self, pids: Iterable[int] = (), root: Path = ROOT) -> None:
        self._pids = [os.getpid(), *pids]
        self._root = root
        self._before = self._others_seconds()
        self._start = time.monotonic()

    def share(self) -> float:
        """Their share of the time of all cores, 0 to 1."""
        passed = (time.monotonic() - self._start) * (os.cpu_count() or 1)
        used = self._others_seconds() - self._before
        return min(max(used / passed, 0.0), 1.0) if passed else 0.0

    def _others_seconds(self) -> float:
        everyone = (self._root / "proc/stat").read_text().split("\n")[0].split()[1:]
        user, nice, system, _, _, irq, softirq, steal = map(int, everyone[:8])
        ours = sum(map(self._ticks, self._pids))
        others = user + nice + system + irq + softirq + steal - ours
        return others / os.sysconf("SC_CLK_TCK")

    def _ticks(self, pid: int) -> int:
        """User and system time of a process, in clock ticks."""
        # The name, in parentheses, may hold anything.
        text = (self._root / f"proc/{pid}/stat").read_text().rpartition(")")[2]
        fields = text.split()
        return int(fields[11]) + int(fields[12])


def load_warning(share: float) -> str | None:
    """A one-line warning where the load makes measured times doubtful, else None."""
    if share < NOTABLE:
        return None
    return (
        f"others used {share:.0%} of the cores' time during the measurement; threads "
        "that wait for each other, as PyTorch's, suffer most: measure again when the "
        "machine is idle"
    )
