"""The bf16 peak of this machine's cores, measured."""

import ctypes
import os

from jax_npu.runtime import extension


def host_peak_flops(seconds: float = 0.1) -> float | None:
    """FLOP/s of multiply instructions of the host GEMM's instruction set on registers.

    On as many threads as the process may use cores, for about `seconds`. None where the
    extension does not measure it.
    """
    try:
        function = extension.load().jax_npu_host_peak_flops
    except AttributeError:
        return None
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_int, ctypes.c_double]
    peak = function(num_cores(), seconds)
    return peak if peak > 0 else None


class PeakMeter:
    """Measures the peak several times during a benchmark.

    Other load on the machine only lowers it, so the highest sample counts.
    """

    def __init__(self) -> None:
        self.samples: list[float] = []

    def sample(self) -> None:
        if (peak := host_peak_flops()) is not None:
            self.samples.append(peak)

    @property
    def flops(self) -> float | None:
        """FLOP/s, or None where it is unknown."""
        return max(self.samples, default=None)

    def share(self, flops_per_second: float) -> float | None:
        return flops_per_second / self.flops if self.flops else None

    def __str__(self) -> str:
        if not self.flops:
            return "bf16 peak unknown: this build does not measure it"
        return (
            f"bf16 peak {self.flops / 1e9:,.0f} GFLOP/s, the highest of "
            f"{len(self.samples)} samples from {min(self.samples) / 1e9:,.0f} on"
        )


def num_cores() -> int:
    """The number of cores that the process may use."""
    return len(os.sched_getaffinity(0))
