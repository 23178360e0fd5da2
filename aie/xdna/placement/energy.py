"""Joules of a time on a machine, from the watts of its profile."""

from xdna.machines import Power


def joules(
    power: Power, seconds: float, cpu_seconds: float, npu_seconds: float
) -> float | None:
    """Joules of the package; None where its watts are not published.

    Idle watts all the time, and what the cores and the NPU draw beyond them while they
    are at work. Memory is left out, as `Power` does.

    Args:
      cpu_seconds: with all cores at work.
      npu_seconds: with the array at work.
    """
    if power.idle is None or power.npu_busy is None or power.cpu_busy is None:
        return None
    return (
        power.idle * seconds
        + (power.cpu_busy - power.idle) * cpu_seconds
        + (power.npu_busy - power.idle) * npu_seconds
    )
