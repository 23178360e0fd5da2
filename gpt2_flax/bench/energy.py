"""The energy of a training step, as the difference of a long and a short run."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from jax_npu.energy import (
    Meter,
    NotMeasured,
    Reading,
    StepEnergy,
    available,
    per_step,
)

DEFAULT_SECONDS = 20.0  # several times as long as a battery takes for a new figure
SHORT = 4  # the long run has about as many times the steps of the short one


def measure_energy(
    steppers: Sequence[Callable[[], object]],
    step_seconds: Sequence[float],
    seconds: float,
) -> list[list[StepEnergy | NotMeasured]]:
    """The energy of a step of each contender, by each sensor.

    The contenders run one by one, while the others wait. Before that all wait, which
    gives the idle power. Without a sensor nothing is run.

    Args:
      steppers: each takes one step of a contender.
      step_seconds: what a step of each takes.
      seconds: how long a long run shall take.
    """
    sources, missing = available()
    if not sources:
        return [list(missing) for _ in steppers]
    idle = _metered(lambda: time.sleep(seconds / SHORT))
    results = []
    for step, taken in zip(steppers, step_seconds):
        few, many = run_lengths(taken, seconds)
        short, long = (_metered(partial(_repeat, step, n)) for n in (few, many))
        results.append(per_step(short, long, many - few, idle))
    return results


def run_lengths(step_seconds: float, seconds: float) -> tuple[int, int]:
    """Steps of the short and of the long run."""
    many = max(2, round(seconds / step_seconds))
    return max(1, many // SHORT), many


def _metered(work: Callable[[], object]) -> list[Reading | NotMeasured]:
    with Meter() as meter:
        work()
    return meter.readings()


def _repeat(step: Callable[[], object], times: int) -> None:
    for _ in range(times):
        step()
