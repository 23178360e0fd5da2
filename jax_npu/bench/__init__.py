"""Tools to measure side by side, for benchmarks of ours and of others.

What is exported here is public; `gemm.py`, `dispatch.py` and `sweep.py` are the
benchmarks of `jax-npu bench`, which use it, as `gpt2-flax bench` does.
"""

from jax_npu.bench.chart import (
    COLORS,
    bare_axes,
    new_figure,
    require_matplotlib,
    write_chart,
)
from jax_npu.bench.other_load import OtherLoad, load_warning
from jax_npu.bench.peak import PeakMeter, num_cores
from jax_npu.bench.side_by_side import (
    Spread,
    geometric_mean,
    in_turn,
    machine_facts,
    reject_repeated,
    spread,
    times_as_fast,
    versions,
    wide_console,
)

__all__ = [
    "COLORS",
    "OtherLoad",
    "PeakMeter",
    "Spread",
    "bare_axes",
    "geometric_mean",
    "in_turn",
    "load_warning",
    "machine_facts",
    "new_figure",
    "num_cores",
    "reject_repeated",
    "require_matplotlib",
    "spread",
    "times_as_fast",
    "versions",
    "wide_console",
    "write_chart",
]
