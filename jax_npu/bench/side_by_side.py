"""Measuring contenders in turn, so that what else the machine does slows all alike.

Ratios are of neighbours in time: a contender's sample over that of the measured one in
the same round.
"""

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from importlib import metadata
from statistics import median
from typing import Any, TypeVar

from rich.console import Console

from jax_npu.bench.peak import num_cores
from jax_npu.runtime import extension
from jax_npu.runtime.machine import CPU_FILE, ROOT, field_of

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """Median and range of the samples of one value."""

    median: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        median, low, high = (format(x, spec) for x in astuple(self))
        return f"{median} ({low}-{high})"


def spread(samples: Sequence[float]) -> Spread:
    return Spread(median(samples), min(samples), max(samples))


def in_turn(
    contenders: Sequence[Callable[[], T]],
    repeats: int,
    between: Callable[[], object] = lambda: None,
) -> list[list[T]]:
    """The samples of each contender, taken A B C A B C ...; `between` rounds, too."""
    rounds = []
    for _ in range(repeats):
        rounds.append([contender() for contender in contenders])
        between()
    return [[row[i] for row in rounds] for i in range(len(contenders))]


def times_as_fast(measured: Sequence[float], other: Sequence[float]) -> Spread:
    """How many times as fast the measured one is, from the seconds of each round."""
    return spread([b / a for a, b in zip(measured, other)])


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def machine_facts() -> dict[str, Any]:
    """CPU model, usable cores, and `isa`, the instruction set of the host GEMM."""
    return {
        "cpu": field_of(ROOT / CPU_FILE, "model name") or platform.machine(),
        "cores": num_cores(),
        "isa": extension.host_isa(),
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions of the packages that are installed; others are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def wide_console() -> Console:
    """A file or a pipe gets whole lines; on a terminal they fit it."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def reject_repeated(names: Sequence[str]) -> None:
    """
    Raises:
      ValueError: where a contender is named twice.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"each contender must be named once, got {', '.join(names)}")
