"""The virtual NPU for Python: run any instruction stream on any placed design.

    npu = VirtualNpu(configuration(parse_module(text)))
    report = npu.run(words, [a, b, c])

The names below are the door of this package. `xdna.simulator.gemm` adds the buffers of
a GEMM of any size, `xdna.simulator.calibration` compares simulated times with measured
ones, and `xdna.simulator.library` names the file of the compiled engine.
"""

from xdna.simulator.bounds import bound
from xdna.simulator.kernel import Kernel
from xdna.simulator.report import ArgumentUse, Report, Usage
from xdna.simulator.virtual_npu import Stopped, Trap, VirtualNpu

__all__ = [
    "ArgumentUse",
    "Kernel",
    "Report",
    "Stopped",
    "Trap",
    "Usage",
    "VirtualNpu",
    "bound",
]
