"""Simulated times of GEMMs, compared with the measured ones in `measured_gemms.csv`.

Each row is simulated with the design that it was measured on, as far as its authors
describe it: `PUBLISHED_DESIGNS` says how each is expressed by `xdna.gemm`. A row of
another design is listed with the reason why it is not.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xdna.devices import device
from xdna.gemm.array import MAX_RESIDENT_SLOTS, GemmArray
from xdna.gemm.tiling import Gemm, plan_of
from xdna.machines import (
    MACHINES,
    NPU1_LAUNCH_SECONDS,
    NPU1_SHARED_DDR_BYTES_PER_SECOND,
    Machine,
)
from xdna.simulator.timed_run import TimedArray
from xdna.timing import (
    PARTIAL_LINE_CYCLES,
    PEANO_INNER_EFFICIENCY,
    RUN_CYCLES,
    Timing,
    timing,
)

MEASURED = Path(__file__).parents[1] / "measured_gemms.csv"
OUT_TYPES = {"bf16": "bfloat16", "f32": "float32"}
NO_COMPUTE = "compute removed"

# The numbers that are fitted to the table, and no others.
FITTED = {
    "PEANO_INNER_EFFICIENCY": PEANO_INNER_EFFICIENCY,
    "RUN_CYCLES": RUN_CYCLES,
    "PARTIAL_LINE_CYCLES": PARTIAL_LINE_CYCLES,
    "NPU1_LAUNCH_SECONDS": NPU1_LAUNCH_SECONDS,
    "NPU1_SHARED_DDR_BYTES_PER_SECOND": NPU1_SHARED_DDR_BYTES_PER_SECOND,
}


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    device: str
    design: str
    m: int
    k: int
    n: int
    tile: tuple[int, int, int]
    out: str
    microseconds: float


@dataclass(frozen=True)
class PublishedDesign:
    """How a design of the table is expressed.

    Args:
      pattern: what its name in the table matches.
      fields: those of `GemmArray` that are not in the table, and others instead of it.
      compiler: of its kernels.
      summed_k: k for which its kernel keeps sums in registers, where that is not the
        k of a core's tile.
      machines: by device, the machine that it was measured on, or is taken to be.
    """

    pattern: str
    fields: Callable[[Measurement, re.Match[str]], Mapping[str, Any]]
    compiler: str = "peano"
    summed_k: int = 0
    # npu1: not stated for the first two designs, whose times fit its clock. npu2: not
    # stated either; the rates that were reached are the upper end of those measured.
    machines: Mapping[str, str] = field(
        default_factory=lambda: {"npu1": "7940hs", "npu2": "hx370"}
    )


def _upstream(_: Measurement, __: re.Match[str]) -> Mapping[str, Any]:
    return {}


def _packed_b(_: Measurement, __: re.Match[str]) -> Mapping[str, Any]:
    return {"images": "packed_b"}


def _flm_npu1(one: Measurement, _: re.Match[str]) -> Mapping[str, Any]:
    # k slices of 512 stream through the core, 64 at a time; A comes in 32-row parts
    return {"k": 64, "images": "tiles", "parts": one.tile[0] // 32}


def _flm_npu2(one: Measurement, _: re.Match[str]) -> Mapping[str, Any]:
    # B's panel stays for all of M: its slots hold all of k
    return {
        "k": 64,
        "images": "tiles",
        "parts": one.tile[0] // 32,
        "resident": "b",
        "k_slice": 64 * max(-(-one.k // (64 * MAX_RESIDENT_SLOTS)), 1),
        "replays": -(-one.m // (4 * one.tile[0])),
    }


def _taka(_: Measurement, match: re.Match[str]) -> Mapping[str, Any]:
    # A in rows and B column-major, k_mt of each row at a time; C single, and the only
    # sums that there is room for
    return {
        "b_column_major": True,
        "c_buffers": 1,
        "k_slice": int(match[1]),
        "sums": "bfloat16",
        "stack_bytes": 1024,  # the default, the tiles fill the rest
    }


PUBLISHED_DESIGNS = (
    PublishedDesign(r"whole_array.*", _upstream),
    PublishedDesign(r"packed B.*", _packed_b),
    PublishedDesign(r"flm\.GEMM 4x4.*", _flm_npu1, summed_k=512),
    PublishedDesign(r"(flm\.GEMM 8x4|resident B).*", _flm_npu2, summed_k=512),
    PublishedDesign(
        r"Taka .*k_mt (\d+).*",
        _taka,
        compiler="xchesscc",
        machines={"npu1": "7940hs", "npu2": "krackan-350"},
    ),
)


@dataclass(frozen=True)
class Comparison:
    """A simulated time, or the reason why there is none."""

    measurement: Measurement
    microseconds: float | None = None
    reason: str = ""
    machine: str = ""  # that it was simulated on

    @property
    def short_name(self) -> str:
        """The design's name without remarks in parentheses, but for its k_mt."""
        name = re.sub(r" \(.*?\)$", "", self.measurement.design)
        k_mt = re.search(r"k_mt \d+", self.measurement.design)
        return f"{name}, {k_mt[0]}" if k_mt and k_mt[0] not in name else name

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


def compare(one: Measurement, machine: Machine | None = None) -> Comparison:
    """Simulates a row on its own machine, or on another one.

    Kernels take their time and compute nothing: times do not depend on values.
    """
    found = _published_design(one.design)
    if found is None:
        known = ", ".join(design.pattern for design in PUBLISHED_DESIGNS)
        return Comparison(one, reason=f"expressed are designs named {known}")
    design, match = found
    m, k, n = one.tile
    fields = {"m": m, "k": k, "n": n, "out": one.out, **design.fields(one, match)}
    try:
        array = GemmArray(one.device, **fields)
        plan = plan_of(array, Gemm(1, one.m, one.k, one.n, "mk", "kn"))
        machine = machine or machine_of(one)
        times = _times(one, design, machine, array.k)
    except ValueError as error:
        return Comparison(one, reason=str(error))
    arithmetic = "bfp16" if times.matmul_bfp16_mkn else "exact"
    seconds = TimedArray(array, times, arithmetic).seconds(plan)
    return Comparison(one, seconds * 1e6, machine=machine.name)


def machine_of(one: Measurement) -> Machine:
    """The machine that a row was measured on, or is taken to be.

    Raises:
      ValueError: if no published design has that name, or there is no such device.
    """
    found = _published_design(one.design)
    if found is None:
        raise ValueError(f"no published design is named {one.design!r}")
    return MACHINES[found[0].machines[device(one.device).name.split("_")[0]]]


def mean_absolute_error(comparisons: list[Comparison]) -> float:
    errors = [abs(one.error) for one in comparisons if one.error is not None]
    return sum(errors) / len(errors) if errors else float("nan")


def _published_design(name: str) -> tuple[PublishedDesign, re.Match[str]] | None:
    for design in PUBLISHED_DESIGNS:
        if match := re.fullmatch(design.pattern, name):
            return design, match
    return None


def _times(
    one: Measurement, design: PublishedDesign, machine: Machine, k: int
) -> Timing:
    times = timing(one.device, machine, design.compiler)
    if NO_COMPUTE in one.design:
        return replace(
            times,
            kernel_call=0,
            matmul_exact_mkn=0.0,
            matmul_exact_mn=0.0,
            matmul_bfp16_mkn=0.0,
            matmul_bfp16_mn=0.0,
            zero_byte=0.0,
            convert_element=0.0,
        )
    if design.summed_k:  # sums are loaded and stored once for several calls
        share = k / design.summed_k
        return replace(
            times,
            matmul_exact_mn=times.matmul_exact_mn * share,
            matmul_bfp16_mn=times.matmul_bfp16_mn * share,
        )
    return times
