"""What bounds a run: the part of the array that is busy for most of the time."""

import re

from xdna.simulator.report import Report

CORE = re.compile(r"core \(\d+, \d+\)")
CHANNEL = re.compile(r"(shim|memtile|core) \(\d+, \d+\) (S2MM|MM2S) \d+")
# Below this share no part bounds the run, but the waits of parts for one another.
BUSY = 0.5


def shares(report: Report) -> dict[str, float]:
    """The share of the device's time for which each kind of part is busy.

    Cores count on average, channels of a kind as the busiest of them.
    """
    cores = [report.utilisation(name) for name in report.usage if CORE.fullmatch(name)]
    found: dict[str, float] = {"cores": sum(cores) / len(cores)} if cores else {}
    for name in report.usage:
        if name.startswith("DDR"):
            found[name] = report.utilisation(name)
        elif channel := CHANNEL.fullmatch(name):
            kind = f"{channel[1]} {channel[2]}"
            found[kind] = max(found.get(kind, 0.0), report.utilisation(name))
    if controller := report.usage.get("controller"):
        found["controller"] = report.utilisation("controller")
        launch = controller.stalls.get("launch", 0)
        found["launch"] = launch / report.cycles if report.cycles else 0.0
    return found


def bound(report: Report) -> str:
    """One line: what is busiest, how far DDR and cores are used."""
    found = shares(report)
    if not found:
        return "nothing ran"
    # A channel is as busy as the one that it waits for: of equals the cause is named.
    first = max(found, key=lambda name: (round(found[name], 2), -_rank(name)))
    shown = [first, *(n for n in found if n.startswith("DDR") or n == "cores")]
    texts = [_text(report, name, found[name]) for name in dict.fromkeys(shown)]
    if found[first] < BUSY:
        return f"waits: nothing is busy for half of the time; {'; '.join(texts)}"
    return "; ".join(texts)


def _rank(name: str) -> int:
    kinds = ("cores", "DDR", "shim", "controller", "launch", "memtile", "core ")
    return next(i for i, kind in enumerate(kinds) if name.startswith(kind))


def _text(report: Report, name: str, share: float) -> str:
    text = f"{name} {share:.0%} busy"
    if name.startswith("shim"):
        way = "read" if name.endswith("MM2S") else "written"
        used = [one for one in report.arguments.values() if getattr(one, way)]
        if used:  # short runs are slow, however little DDR has to do
            return f"{text}: runs of {bytes_text(min(u.run_bytes for u in used))}"
    if not name.startswith("DDR") or not report.device_seconds:
        return text
    ways = {"DDR read": ["read"], "DDR write": ["write"]}.get(name, ["read", "write"])
    moved = sum(report.bytes.get(f"ddr_{way}", 0) for way in ways)
    rate = moved / report.device_seconds / 1e9
    return f"{text}: {bytes_text(moved)} at {rate:.1f} GB/s"


def bytes_text(num_bytes: float) -> str:
    """A number of bytes in decimal units: 1.4 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.4g} TB"
