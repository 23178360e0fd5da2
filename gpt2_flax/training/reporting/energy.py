"""The energy of a run's steps, without compilation, validations and checkpoints."""

from collections.abc import Iterable, Sequence

from jax_npu.energy import (
    Meter,
    NotMeasured,
    Reading,
    StepEnergy,
    per_step,
    reasons,
)

Readings = Sequence[Reading | NotMeasured]


class TrainingEnergy:
    """Counts steps, and what a started meter shows where they follow each other.

    The first step does not count, which compiles, nor the first after a pause: the
    meter is read at its end.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._stretches: list[tuple[Readings, Readings]] = []  # meter before and after
        self._start: Readings | None = None
        self._steps = self._steps_since_start = 0

    def count_step(self) -> None:
        if self._start is None:
            self._start = self._read()
        else:
            self._steps_since_start += 1

    def pause(self) -> None:
        """Leaves out what follows, until the next step has ended."""
        if self._start is not None and self._steps_since_start:
            self._stretches.append((self._start, self._read()))
            self._steps += self._steps_since_start
        self._start, self._steps_since_start = None, 0

    def per_step(self) -> list[StepEnergy | NotMeasured]:
        """The energy of a step by each sensor; [] where no two steps were in a row."""
        if not self._steps:
            return []
        before, after = zip(*self._stretches)
        return per_step(_total(before), _total(after), self._steps)

    def joules_per_step(self) -> float | None:
        """By the first sensor that measured it; None if none did."""
        measured = [one for one in self.per_step() if isinstance(one, StepEnergy)]
        return measured[0].joules if measured else None

    def _read(self) -> Readings:
        self._meter.sample()
        return self._meter.readings()


def describe_energy(energy: TrainingEnergy, tokens: int, flops: int) -> str:
    """One line on steps of that many tokens, and FLOPs of products."""
    results = energy.per_step()
    if not results:
        return "energy: not measured (no two steps followed each other)"
    measured = [one for one in results if isinstance(one, StepEnergy)]
    found = "; ".join(_describe(one, tokens, flops) for one in measured)
    return f"energy: {found or reasons(results)}"


def _describe(step: StepEnergy, tokens: int, flops: int) -> str:
    efficiency = step.flops_per_joule(flops)
    return (
        f"{step.joules:.3g} J per step, {step.joules / tokens:.3g} J per token"
        + (f", {efficiency / 1e9:.3g} GFLOP/J" if efficiency else "")
        + f" ({step.source}, mean of {step.steps} steps)"
    )


def _total(runs: Iterable[Readings]) -> list[Reading | NotMeasured]:
    """The sum of several readings by each sensor, if it gave a figure each time."""
    return [_sum(of_one_sensor) for of_one_sensor in zip(*runs)]


def _sum(readings: Readings) -> Reading | NotMeasured:
    joules = seconds = 0.0
    for one in readings:
        if isinstance(one, NotMeasured):
            return one
        joules += one.joules
        seconds += one.seconds
    return Reading(readings[0].source, joules, seconds)
