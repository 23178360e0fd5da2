"""The time of a plan on the virtual NPU, which computes nothing and moves no data.

A run's time depends on neither values nor arithmetic: a GEMM of 4,096 cubed takes less
than a second, not minutes.
"""

import functools

import numpy as np

from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.gemm.programs.kernel_calls import kernel_calls
from xdna.gemm.runs import is_chained
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import Plan
from xdna.load.configuration import configuration
from xdna.simulator.kernel import Kernel
from xdna.simulator.report import Report
from xdna.simulator.virtual_npu import VirtualNpu
from xdna.timing import Timing


class TimedArray:
    """A design on the virtual NPU, for its times alone.

    Args:
      times: of the array.
      arithmetic: exact or bfp16, whose kernels' times count.
    """

    def __init__(self, array: GemmArray, times: Timing, arithmetic: str = "exact"):
        text = _configured(array, times)
        kernels = [
            Kernel(
                call.name,
                _nothing,
                call.accesses,
                [np.uint8 if letter != "-" else None for letter in call.accesses],
                round(call.cycles),
                call.macs,
            )
            for call in kernel_calls(array, times, arithmetic)
        ]
        self._npu = VirtualNpu(text, "fast", kernels=kernels, only_timed=True)

    def reports(self, plan: Plan) -> list[Report]:
        """One for each run of a plan of the same array, chained as the driver does."""
        reports = []
        for index, run in enumerate(plan.runs):
            sizes = [image.num_bytes for image in plan.images(run)]
            buffers = [np.zeros(size, np.uint8) for size in sizes]
            words = run_words(plan, run)
            reports.append(self._npu.run(words, buffers, is_chained(index)))
        return reports

    def seconds(self, plan: Plan) -> float:
        return sum(report.seconds for report in self.reports(plan))


@functools.lru_cache(maxsize=8)  # a search times its best designs again and again
def _configured(array: GemmArray, times: Timing) -> str:
    return configuration(gemm_design(array), times=times)


def _nothing(*_: object) -> None:
    pass
