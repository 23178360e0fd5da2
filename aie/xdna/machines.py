"""Machines with an NPU: what a time depends on beside the array's generation.

A machine is a named profile, and no figure mixes two of them. `sources` says for each
number how it is known. `machine_choice.py` finds one by its name, and reads users' own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cpu:
    """The host: what packs, unpacks, and computes what the NPU does not."""

    model: str
    cores: int
    gflops_per_core: float  # of a large product of bf16 in backend `host`
    memory_bytes_per_second: float  # all cores together, reading


@dataclass(frozen=True)
class Power:
    """Watts of the package, memory left out. None where nobody has published them."""

    idle: float | None
    npu_busy: float | None  # package, NPU at work, cores idle
    cpu_busy: float | None  # package, all cores at work


@dataclass(frozen=True)
class Machine:
    """A machine, as `timing` and forecasts need it."""

    name: str
    device: str  # npu1 or npu2
    clock_hz: float  # of the array, in the mode that the other numbers hold for
    # Between the array and DDR in long bursts: all shims together, per direction, or
    # reads and writes in all.
    ddr_bytes_per_second: float
    ddr_directions_shared: bool
    launch_seconds: float  # the host's part of one run: submission and completion
    cpu: Cpu
    power: Power
    # By a number's name, such as "cpu.cores", or by that of its group.
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    def source(self, name: str) -> str:
        """How the number is known, or "" if nobody says."""
        return self.sources.get(name) or self.sources.get(name.split(".")[0], "")


# Fitted, with those of `timing.py`: all five are compared with measured GEMMs by
# `jax-npu calibrate`.
NPU1_LAUNCH_SECONDS = 100e-6
NPU1_SHARED_DDR_BYTES_PER_SECOND = 17.7e9

_ZEN4_CORE = "host on two Zen 4 cores measured 260-340 GFLOP/s in all orders"
_DATA_SHEET = "AMD's data sheet"
_ASSUMED_CORE = "assumed: a Zen 4 core's, scaled by width and clock"

MACHINES = {
    machine.name: machine
    for machine in (
        Machine(
            name="7940hs",
            device="npu1",
            clock_hz=1.0e9,
            ddr_bytes_per_second=NPU1_SHARED_DDR_BYTES_PER_SECOND,
            ddr_directions_shared=True,
            launch_seconds=NPU1_LAUNCH_SECONDS,
            cpu=Cpu("AMD Ryzen 9 7940HS", 8, 150.0, 60e9),
            power=Power(None, None, None),
            sources={
                "clock_hz": "turbo mode of the fastest published GEMMs",
                "ddr_bytes_per_second": "fitted; 17.0-17.6 derived from the fastest "
                "published GEMMs, about 15 measured in a micro-benchmark (DDR5-5600)",
                "launch_seconds": "fitted; an empty run of 150-170 us was published "
                "for two machines",
                "cpu.cores": _DATA_SHEET,
                "cpu.gflops_per_core": _ZEN4_CORE,
                "cpu.memory_bytes_per_second": "assumed: two thirds of DDR5-5600's 90",
                "power": "nobody has published watts of an npu1 under load",
            },
        ),
        Machine(
            name="8700g",
            device="npu1",
            clock_hz=1.8e9,
            ddr_bytes_per_second=27e9,
            ddr_directions_shared=False,
            launch_seconds=NPU1_LAUNCH_SECONDS,
            cpu=Cpu("AMD Ryzen 7 8700G", 8, 150.0, 55e9),
            power=Power(None, None, None),
            sources={
                "clock_hz": "measured, about 1.8 GHz",
                "ddr_bytes_per_second": "measured, 26-28 GB/s a direction",
                "launch_seconds": "as 7940hs",
                "cpu.cores": _DATA_SHEET,
                "cpu.gflops_per_core": _ZEN4_CORE,
                "cpu.memory_bytes_per_second": "assumed: two thirds of DDR5-5200's 83",
                "power": "nobody has published watts of an npu1 under load",
            },
        ),
        Machine(
            name="krackan-350",
            device="npu2",
            clock_hz=1.8e9,
            ddr_bytes_per_second=62e9,
            ddr_directions_shared=True,
            launch_seconds=60e-6,
            cpu=Cpu("AMD Ryzen AI 7 350", 8, 150.0, 60e9),
            power=Power(None, None, None),
            sources={
                "clock_hz": "measured, 1.8 GHz",
                "ddr_bytes_per_second": "measured: 54-70 GB/s in all on npu2, 54.7 in "
                "the fastest published GEMM on this machine; about 50 in a "
                "micro-benchmark (DDR5-5600)",
                "launch_seconds": "measured: 45-60 us for an empty kernel, 107-116 us "
                "with the controller's part",
                "cpu.cores": _DATA_SHEET,
                "cpu.gflops_per_core": _ASSUMED_CORE,
                "cpu.memory_bytes_per_second": "assumed: two thirds of DDR5-5600's 90",
                "power": "not published for this machine; see hx370",
            },
        ),
        Machine(
            name="hx370",
            device="npu2",
            clock_hz=1.8e9,
            ddr_bytes_per_second=70e9,
            ddr_directions_shared=True,
            launch_seconds=60e-6,
            cpu=Cpu("AMD Ryzen AI 9 HX 370", 12, 150.0, 80e9),
            power=Power(idle=15.0, npu_busy=24.2, cpu_busy=46.0),
            sources={
                "clock_hz": "measured, 1.8 GHz",
                "ddr_bytes_per_second": "assumed: the upper end of npu2's measured "
                "54-70 GB/s in all, since its memory is the fastest (LPDDR5X-7500)",
                "launch_seconds": "as krackan-350",
                "cpu.cores": _DATA_SHEET,
                "cpu.gflops_per_core": _ASSUMED_CORE,
                "cpu.memory_bytes_per_second": "assumed: two thirds of "
                "LPDDR5X-7500's 120",
                "power": "measured: package RAPL, CPU on 12 threads",
            },
        ),
    )
}
DEFAULT_MACHINES = {"npu1": "7940hs", "npu2": "krackan-350"}
