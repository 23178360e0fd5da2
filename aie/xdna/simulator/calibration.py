"""Simulated times of GEMMs, compared with the measured ones in `measured_gemms.csv`.

A measurement of a design that `xdna.gemm` cannot make is listed with the reason.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.gemm.stream import image_bytes, run_words
from xdna.gemm.tiling import make_plan
from xdna.load.configuration import configuration
from xdna.simulator.kernel import Kernel
from xdna.simulator.virtual_npu import VirtualNpu

MEASURED = Path(__file__).parents[1] / "measured_gemms.csv"
OUT_TYPES = {"bf16": "bfloat16", "f32": "float32"}
WHOLE_ARRAY = "whole_array"  # the names of designs like ours begin so
NO_COMPUTE = "compute removed"


@dataclass(frozen=True)
class Measurement:
    """A row of the table; `design` begins with `WHOLE_ARRAY` if it is like ours."""

    device: str
    design: str
    m: int
    k: int
    n: int
    tile: tuple[int, int, int]
    out: str
    microseconds: float


@dataclass(frozen=True)
class Comparison:
    """A simulated time, or the reason why there is none."""

    measurement: Measurement
    microseconds: float | None = None
    reason: str = ""

    @property
    def error(self) -> float | None:
        """Error of the simulated time, as a share of the measured one."""
        if self.microseconds is None:
            return None
        return self.microseconds / self.measurement.microseconds - 1


def measurements(path: Path = MEASURED) -> Iterator[Measurement]:
    """The rows of a CSV file with the columns of `measured_gemms.csv`.

    Raises:
      ValueError: with the number of the first wrong line.
    """
    with path.open(encoding="utf-8") as file:
        lines = [(i, line) for i, line in enumerate(file, 1) if line[0] != "#"]
    rows = csv.DictReader(line for _, line in lines)
    for row, (number, _) in zip(rows, lines[1:]):
        try:
            m, k, n, *tile = (
                int(row[name]) for name in ("M", "K", "N", "tile_m", "tile_k", "tile_n")
            )
            yield Measurement(
                row["device"],
                row["design"],
                m,
                k,
                n,
                (tile[0], tile[1], tile[2]),
                OUT_TYPES.get(row["out"], row["out"]),
                float(row["microseconds"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, line {number}: expected the columns of "
                f"{MEASURED.name}, sizes as integers: {error}"
            ) from None


def compare(measurement: Measurement, arithmetic: str = "fast") -> Comparison:
    """Runs the GEMM on zeros: its time depends on neither data nor arithmetic."""
    one = measurement
    try:
        array = GemmArray(one.device, *one.tile, one.out)
        plan = make_plan(array, 1, one.m, one.k, one.n)
    except ValueError as error:
        return Comparison(one, reason=str(error))
    if not one.design.startswith(WHOLE_ARRAY):
        return Comparison(one, reason=f"the generator makes {WHOLE_ARRAY} alone")
    kernels = _idle_kernels(array) if NO_COMPUTE in one.design else []
    npu = VirtualNpu(configuration(gemm_design(array)), arithmetic, kernels=kernels)
    seconds = 0.0
    for run in plan.runs:
        buffers = [np.zeros(size, np.uint8) for size in image_bytes(plan, run)]
        seconds += npu.run(run_words(plan, run), buffers).seconds
    return Comparison(one, seconds * 1e6)


def mean_absolute_error(comparisons: list[Comparison]) -> float:
    errors = [abs(one.error) for one in comparisons if one.error is not None]
    return sum(errors) / len(errors) if errors else float("nan")


def _idle_kernels(array: GemmArray) -> list[Kernel]:
    """Kernels for a design of ours that do nothing and take no time."""
    accesses = {"zero_f32": "w", "matmul_bf16_f32": "rrb", "convert_f32_bf16": "rw"}
    return [
        Kernel(name, lambda *_: None, access, [np.uint8] * len(access), cycles=0)
        for name, access in accesses.items()
    ]
