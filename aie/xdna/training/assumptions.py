"""What a forecast assumes: each number with its range and its source.

A number is a factor of what a machine's profile, or a constant of the model, says. The
ranges of a forecast are those of two scenarios, in which all that is uncertain turns
out well, and badly.
"""

from dataclasses import dataclass, replace

from xdna.machines import Machine
from xdna.placement.host_side import HostSide

LEVELS = ("good", "expected", "bad")


@dataclass(frozen=True)
class Assumption:
    """Factors of a number by level; those of rates fall from good to bad."""

    name: str
    factors: tuple[float, float, float]
    source: str

    def at(self, level: str) -> float:
        return self.factors[LEVELS.index(level)]


HOST_RATE = Assumption(
    "rate of the cores in products",
    (1.13, 1.0, 0.7),
    "260-340 GFLOP/s measured on two Zen 4 cores; with all cores at work clocks fall",
)
MEMORY = Assumption(
    "rate of memory for the cores",
    (1.25, 1.0, 0.75),
    "assumed: half to five sixths of the modules' rate",
)
OTHER_WORK = Assumption(
    "bytes of loops beside products",
    (0.5, 1.0, 1.5),
    "XLA's count; what caches hold costs less, short loops cost more",
)
PACKING = Assumption(
    "rate of packing, checking and unpacking, a core's",
    (1.5, 1.0, 0.67),
    "measured on an Intel core: 6.9-8.3 and 10.2 GB/s; others' clocks differ",
)
FLUSHING = Assumption(
    "rate of flushing",
    (1.4, 1.0, 0.5),
    "images: 27-29 GB/s measured on an Intel core; results: 64 and 89 GB/s published",
)
LAUNCH = Assumption(
    "the host's part of a launch",
    (0.6, 1.0, 1.5),
    "published for an empty run: 45-60 us on one machine, 150-170 us on two others",
)
ARRAY = Assumption(
    "speed of the array",
    (1.1, 1.0, 0.85),
    "the closed form is within 10% of the virtual NPU, whose rates of DDR vary by 15% "
    "between measurements",
)
OF_HOST = (HOST_RATE, MEMORY, OTHER_WORK)
OF_NPU = (PACKING, FLUSHING, LAUNCH, ARRAY)
ASSUMPTIONS = (*OF_HOST, *OF_NPU)


@dataclass(frozen=True)
class Scenario:
    """How what is uncertain turns out: for the cores, and for the NPU."""

    host: str = "expected"
    npu: str = "expected"

    def machine(self, machine: Machine) -> Machine:
        """The machine as it is in this scenario."""
        cpu = replace(
            machine.cpu,
            gflops_per_core=machine.cpu.gflops_per_core * HOST_RATE.at(self.host),
            memory_bytes_per_second=machine.cpu.memory_bytes_per_second
            * MEMORY.at(self.host),
        )
        return replace(
            machine,
            cpu=cpu,
            clock_hz=machine.clock_hz * ARRAY.at(self.npu),
            ddr_bytes_per_second=machine.ddr_bytes_per_second * ARRAY.at(self.npu),
            launch_seconds=machine.launch_seconds * LAUNCH.at(self.npu),
        )

    def host_side(self, side: HostSide, memory: float) -> HostSide:
        """The rates around a run; no more than memory's in this scenario."""
        packing, flushing = PACKING.at(self.npu), FLUSHING.at(self.npu)
        return HostSide(
            pack=min(side.pack * packing, memory),
            flush=side.flush * flushing,
            evict=side.evict * flushing,
            unpack=min(side.unpack * packing, memory),
            check=side.check / packing,
        )


EXPECTED = Scenario()
GOOD, BAD = Scenario("good", "good"), Scenario("bad", "bad")
# The extremes of ratios.
NPU_AHEAD, HOST_AHEAD = Scenario("bad", "good"), Scenario("good", "bad")
