"""What `jax-npu design --search` prints, and its picture."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich
from rich.table import Table

from jax_npu.bench.chart import COLORS, new_figure, require_matplotlib, write_chart
from xdna.devices import CORE
from xdna.gemm.array import GemmArray
from xdna.machines import Machine
from xdna.search.evaluation import (
    Evaluation,
    compulsory_bytes,
    flops,
    simulated_seconds,
)
from xdna.search.frontier import Candidate
from xdna.search.program_memory import program_bytes
from xdna.search.workload import Product
from xdna.timing import Timing

SHOWN = 8  # designs of the frontier


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    machine: Machine
    compiler: str
    times: Timing
    arithmetic: str
    workloads: Mapping[str, Sequence[Product]]
    num_candidates: int
    frontier: list[Candidate]
    paper: Candidate

    @property
    def winner(self) -> Candidate:
        return self.frontier[0]

    @functools.cached_property
    def simulated(self) -> dict[str, dict[str, float]]:
        """Seconds of a workload on the virtual NPU, by design and workload."""
        return {
            name: {
                workload: self._step(candidate.array, products)
                for workload, products in self.workloads.items()
            }
            for name, candidate in (("winner", self.winner), ("paper", self.paper))
        }

    def _step(self, array: GemmArray, products: Sequence[Product]) -> float:
        seconds = simulated_seconds(array, products, self.times, self.arithmetic)
        return sum(one.calls * s for one, s in zip(products, seconds))


def describe(array: GemmArray) -> str:
    """A design in one line."""
    text = f"{array.m} x {array.k} x {array.n}, {array.images}"
    if array.parts > 1:
        text += f", A in {array.parts} parts"
    text += f", C {('single', 'double')[array.num_c_buffers - 1]}"
    if array.slice_k != array.k:
        text += f", slices of {array.slice_k}"
    if array.resident:
        resident = f"{array.resident.upper()} stays, k of {array.slice_k}"
        text += f", {resident} x {array.resident_slots}"
    return text


def record(found: Found) -> dict[str, Any]:
    return {
        "machine": found.machine.name,
        "compiler": found.compiler,
        "arithmetic": found.arithmetic,
        "designs_rated": found.num_candidates,
        "frontier": [_candidate_record(found, one) for one in found.frontier],
        "paper": _candidate_record(found, found.paper),
        "simulated_seconds": found.simulated,
    }


def _candidate_record(found: Found, candidate: Candidate) -> dict[str, Any]:
    return {
        "design": describe(candidate.array),
        "program_bytes": program_bytes(candidate.array),
        "workloads": {
            name: {
                "seconds": one.seconds,
                "launch_seconds": one.launch_seconds,
                "ddr_bytes": one.ddr_bytes,
                "compulsory_bytes": compulsory_bytes(
                    found.workloads[name], candidate.array.out_bytes
                ),
                "flops": flops(found.workloads[name]),
                "seconds_by_bound": one.seconds_by_bound(),
                "products": {
                    part.product.name: {
                        "calls": part.product.calls,
                        "seconds": part.forecast.seconds,
                        "bound": part.forecast.pace.bound,
                        "ddr_bytes": part.plan.all_ddr_bytes,
                        "resident": part.plan.runs[0].resident,
                    }
                    for part in one.parts
                },
            }
            for name, one in candidate.evaluations.items()
        },
    }


def print_tables(found: Found) -> None:
    rich.print(_frontier_table(found))
    for name in found.workloads:
        rich.print(_why_table(found, name))
    print(
        "the best one's program takes some "
        f"{program_bytes(found.winner.array):,} of the {CORE.program_bytes:,} bytes "
        "that a core has, kernels included: an estimate"
    )
    for name, products in found.workloads.items():
        winner, paper = (found.simulated[one][name] for one in ("winner", "paper"))
        ours = found.winner.evaluations[name]
        theirs = found.paper.evaluations[name]
        launches = theirs.launch_seconds, ours.launch_seconds
        rate = flops(products) / 1e12 / winner
        compulsory = compulsory_bytes(products, found.winner.array.out_bytes)
        print(
            f"{name}, on the virtual NPU: {winner * 1e3:.1f} ms against "
            f"{paper * 1e3:.1f} of the paper's design, {paper / winner:.2f} times as "
            f"fast ({(paper - launches[0]) / (winner - launches[1]):.2f} without "
            f"launches), {rate:.2f} TFLOP/s, {ours.ddr_bytes / 1e9:.2f} GB over DDR, "
            f"{ours.ddr_bytes / compulsory:.2f} of the compulsory"
        )


def _frontier_table(found: Found) -> Table:
    title = (
        f"{found.num_candidates} designs on {found.machine.name}, kernels by "
        f"{found.compiler}, {found.arithmetic}; ms of a step, of them launches, GB"
    )
    table = Table("design", *found.workloads, title=title, title_justify="left")
    shown = found.frontier[:SHOWN]
    for candidate in [*shown, found.paper]:
        cells = [
            f"{one.seconds * 1e3:.1f}, {one.launch_seconds * 1e3:.1f}, "
            f"{one.ddr_bytes / 1e9:.2f}"
            for one in candidate.evaluations.values()
        ]
        is_paper = candidate is found.paper and candidate not in shown
        name = describe(candidate.array) + (" (the paper's)" if is_paper else "")
        table.add_row(name, *cells)
    return table


def _why_table(found: Found, workload: str) -> Table:
    """Where the time of a workload goes in both designs, by product."""
    title = f"{workload}: ms of all calls, and what bounds them"
    table = Table("product", "paper's", "", "best", "", title=title)
    ours, theirs = (
        candidate.evaluations[workload] for candidate in (found.winner, found.paper)
    )
    for new, old in zip(ours.parts, theirs.parts):
        stays = new.plan.runs[0].resident.upper()
        table.add_row(
            f"{new.product.calls} x {new.product.name}",
            f"{old.seconds * 1e3:.1f}",
            old.forecast.pace.bound,
            f"{new.seconds * 1e3:.1f}",
            new.forecast.pace.bound + (f", {stays} stays" if stays else ""),
        )
    return table


def write_roofline(path: Path, found: Found) -> None:
    """A PNG: every product of both designs under the machine's roofs."""
    require_matplotlib()
    figure = new_figure(11, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_roofline(left, found)
    _draw_shares(right, found)
    figure.suptitle(
        f"{found.machine.name}, {found.machine.clock_hz / 1e9:g} GHz, kernels by "
        f"{found.compiler}: forecast of a step",
        fontsize=10,
    )
    write_chart(path, figure)


def _draw_roofline(axes: Any, found: Found) -> None:
    from matplotlib.ticker import LogLocator

    array, times = found.winner.array, found.times
    cores = array.num_columns * array.num_rows
    mkn = times.matmul(found.arithmetic).mkn
    peak = 2e-12 * cores * times.clock_hz / mkn
    rate = times.ddr_bytes_per_second / 1e12
    points: list[float] = []
    for (label, candidate), color, marker in zip(
        (("the paper's design", found.paper), ("the best design", found.winner)),
        (COLORS[1], COLORS[0]),
        "so",
    ):
        intensities, speeds = [], []
        for evaluation in candidate.evaluations.values():
            for part in evaluation.parts:
                work = 2.0 * part.product.gemm.macs
                intensities.append(work / part.plan.all_ddr_bytes)
                speeds.append(work / 1e12 / part.forecast.seconds)
        axes.scatter(
            intensities, speeds, color=color, marker=marker, label=label, alpha=0.8
        )
        points += intensities
    low, high = min(points) / 1.5, max(points) * 1.5
    ridge = peak / rate
    axes.plot([low, ridge], [low * rate, peak], color="black", linewidth=1)
    axes.plot([ridge, max(high, ridge)], [peak, peak], color="black", linewidth=1)
    axes.annotate(
        f"kernels' inner loop: {peak:.2g} TFLOP/s",
        (high, peak),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    axes.annotate(
        f"DDR: {rate * 1e3:.3g} GB/s",
        (low * 1.1, low * 1.1 * rate),
        xytext=(-6, 10),
        textcoords="offset points",
        fontsize=8,
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="FLOP for each byte over DDR",
        ylabel="TFLOP/s, launch included",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_shares(axes: Any, found: Found) -> None:
    """Bars of a step's time, by what bounds the products."""
    rows: list[tuple[str, Evaluation]] = []
    for name in found.workloads:
        rows.append((f"{name}\nthe paper's", found.paper.evaluations[name]))
        rows.append((f"{name}\nbest", found.winner.evaluations[name]))
    shares = [
        {"launches": one.launch_seconds, **one.seconds_by_bound()} for _, one in rows
    ]
    totals = [one.seconds for _, one in rows]
    left = [0.0] * len(rows)
    kinds = ["launches", "controller", "cores", "streams", "shims", "ddr"]
    colors = ["#999999", *COLORS]
    for kind, color in zip(kinds, colors):
        widths = [share.get(kind, 0.0) / max(totals) for share in shares]
        if not any(widths):
            continue
        axes.barh(range(len(rows)), widths, left=left, color=color, label=kind)
        left = [a + b for a, b in zip(left, widths)]
    for index, total in enumerate(totals):
        axes.text(left[index], index, f" {total * 1e3:.0f} ms", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    axes.set_xticks([])
    axes.set_xlim(0, 1.25)
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, title="bound by", title_fontsize=8)
