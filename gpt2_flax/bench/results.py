"""What `gpt2-flax bench` measured, and the figures that follow from it.

Ratios are of steps that followed one another, so that a load on the machine slows both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from jax_npu.bench import PeakMeter, Spread, times_as_fast
from jax_npu.energy import NotMeasured, StepEnergy
from jax_npu.runtime.counters import Counters

# Parts of the host's work for an NPU, in the order in which a product takes them, with
# the counter of their thread time.
HOST_PARTS = {
    "packing": "pack_ns",
    "allocating": "allocate_ns",
    "flushing": "flush_ns",
    "waiting for room": "room_ns",
    "queueing": "queue_ns",
    "waiting for the NPU": "wait_ns",
    "checking": "check_ns",
    "unpacking": "unpack_ns",
}


@dataclass(frozen=True)
class Steps:
    """The answers of one contender."""

    name: str
    versions: dict[str, str]
    first_seconds: float  # of the first step, which compiles
    seconds: list[float]  # one for each measured step
    losses: list[float | None]  # None where results are stand-ins
    counters: list[Counters] | None  # one for each; None without custom calls
    peak_memory_bytes: int
    energy: list[StepEnergy | NotMeasured] = field(default_factory=list)  # by sensor
    # By how much the paced NPU answered later than a chip, on average; None of others.
    late_microseconds: float | None = None
    pinned_bytes: int = 0  # most at one time, of an NPU's buffers

    def energy_by(self, source: str) -> StepEnergy | None:
        """The energy of a step by the sensor of that name; None if not measured."""
        measured = (one for one in self.energy if isinstance(one, StepEnergy))
        return next((one for one in measured if one.source == source), None)

    @property
    def parts(self) -> dict[str, float]:
        """Median seconds of a step by part; empty without custom calls.

        The calls' wall time is divided in the ratio of what their threads spent on
        packing and on multiplying. An NPU multiplies in no thread: `multiply_ns` is 0
        there, and the calls stay one part.
        """
        if not self.counters:
            return {}
        pack = sum(c.pack_ns for c in self.counters)
        multiply = sum(c.multiply_ns for c in self.counters)
        calls = median(c.call_ns for c in self.counters) / 1e9  # s
        rest = median(s - c.call_ns / 1e9 for s, c in zip(self.seconds, self.counters))
        if not multiply:
            return {"in calls": calls, "rest": rest}
        share = multiply / (pack + multiply)
        return {
            "multiplying": calls * share,
            "packing": calls * (1 - share),
            "rest": rest,
        }

    @property
    def has_npu(self) -> bool:
        """Whether its products went to an NPU, real or virtual."""
        return bool(self.counters) and bool(self.counted("queue_ns"))

    @property
    def host_parts(self) -> dict[str, float]:
        """Median thread seconds of the host's work for an NPU; empty without one.

        Threads work at the same time, so the parts may add up to more than a step.
        """
        if not self.has_npu:
            return {}
        return {
            part: (self.counted(counter) or 0) / 1e9
            for part, counter in HOST_PARTS.items()
        }

    @property
    def device_seconds(self) -> float | None:
        """Median seconds of a step in which the NPU was at work; None without one.

        None too for a virtual NPU that computes: its time is that of the simulation.
        """
        if not self.has_npu or self.name == "sim":
            return None
        return (self.counted("device_ns") or 0) / 1e9

    @property
    def device_idle_share(self) -> float | None:
        """Median share of a step in which the NPU had nothing to do."""
        if self.device_seconds is None or not self.counters:
            return None
        shares = zip(self.seconds, self.counters)
        return median(1 - one.device_ns / 1e9 / seconds for seconds, one in shares)

    def counted(self, name: str) -> float | None:
        """Median over the steps of one of the counters."""
        if not self.counters:
            return None
        value: float = median(getattr(counters, name) for counters in self.counters)
        return value


@dataclass(frozen=True)
class Bench:
    """The results of all contenders; the first is compared with each of the others."""

    contenders: Sequence[Steps]
    peak: PeakMeter
    gemm_flops: int  # in one step
    tokens: int  # in one step
    other_load: float  # share of the cores' time that other programs took

    @property
    def energy_sources(self) -> list[str]:
        """The sensors that measured a contender, the preferred one first."""
        energies = [one for steps in self.contenders for one in steps.energy]
        sources = [one.source for one in energies if isinstance(one, StepEnergy)]
        return list(dict.fromkeys(sources))

    @property
    def measured(self) -> Steps:
        return self.contenders[0]

    def times_as_fast(self, other: Steps) -> Spread:
        return times_as_fast(self.measured.seconds, other.seconds)

    def share_of_peak(self, steps: Steps) -> float | None:
        """Share of bf16 peak that the GEMMs reach if the whole step is their time."""
        return self.peak.share(self.gemm_flops / median(steps.seconds))

    def gemm_share_of_peak(self, steps: Steps) -> float | None:
        """Share of bf16 peak that the GEMMs reach in the custom calls' time alone."""
        call_ns = steps.counted("call_ns")  # FLOP/ns * 1e9 = FLOP/s
        return self.peak.share(self.gemm_flops / call_ns * 1e9) if call_ns else None

    def first_step_ratio(self, other: Steps) -> float:
        """First step of the measured contender over the other's: below 1 is faster."""
        return self.measured.first_seconds / other.first_seconds

    def memory_ratio(self, other: Steps) -> float:
        """Peak memory of the measured contender over the other's: below 1 is less."""
        return self.measured.peak_memory_bytes / other.peak_memory_bytes
