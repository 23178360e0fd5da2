"""Energy of one step, as the difference of a long and a short run.

Both begin alike, so that what a run costs before it is in full swing cancels:

    joules of a step = (E2 - E1) / (n2 - n1)        for n2 > n1 steps

That is gross: the machine's idling during a step is in it. Net of idle,

    (E2 - E1 - P (t2 - t1)) / (n2 - n1)             for an idle power P, in watts
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jax_npu.energy.readings import NPU_SENSOR, NotMeasured, Reading


@dataclass(frozen=True)
class StepEnergy:
    """The energy of one step by one sensor, as the mean over `steps`."""

    source: str
    steps: int  # n2 - n1
    joules: float  # of a step, gross
    seconds: float  # of a step
    idle_watts: float | None = None  # None where idling was not measured

    @property
    def net_joules(self) -> float | None:
        """Joules of a step above those of an idle machine."""
        if self.idle_watts is None:
            return None
        return self.joules - self.idle_watts * self.seconds

    def flops_per_joule(self, flops: float) -> float | None:
        """FLOP/J, which is FLOPS/Ws, for a step of that many FLOPs.

        None by the NPU's sensor: the host computes some of them, or all.
        """
        if self.source == NPU_SENSOR or self.joules == 0:
            return None
        return flops / self.joules


def per_step(
    short: Sequence[Reading | NotMeasured],
    long: Sequence[Reading | NotMeasured],
    steps: int,
    idle: Sequence[Reading | NotMeasured] = (),
) -> list[StepEnergy | NotMeasured]:
    """The energy of a step by each sensor of two runs.

    Args:
      short, long: `Meter.readings()` of a run of n1 and of one of n2 steps.
      steps: n2 - n1, above 0.
      idle: `Meter.readings()` of the same machine without a run.
    """
    idle_watts = {one.source: one.watts for one in idle if isinstance(one, Reading)}
    return [_difference(a, b, steps, idle_watts) for a, b in zip(short, long)]


def _difference(
    short: Reading | NotMeasured,
    long: Reading | NotMeasured,
    steps: int,
    idle_watts: dict[str, float],
) -> StepEnergy | NotMeasured:
    if isinstance(long, NotMeasured):
        return long
    if isinstance(short, NotMeasured):
        return short
    if long.joules < short.joules:
        reason = (
            f"{steps} more steps took {short.joules - long.joules:.3g} J less; measure "
            "longer runs, on an idle machine"
        )
        return NotMeasured(long.source, reason)
    return StepEnergy(
        long.source,
        steps,
        (long.joules - short.joules) / steps,
        (long.seconds - short.seconds) / steps,
        idle_watts.get(long.source),
    )
