"""The results of `jax-npu bench gemm` as a table, as JSON and as a chart."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from jax_npu.bench.chart import COLORS, bare_axes, new_figure, write_chart
from jax_npu.bench.gpt2_gemms import GemmCase
from jax_npu.bench.peak import PeakMeter
from jax_npu.bench.side_by_side import Spread, geometric_mean, spread, times_as_fast
from jax_npu.runtime.counters import Counters


@dataclass(frozen=True)
class CaseResult:
    """One product on all contenders; the first is the measured one."""

    case: GemmCase
    seconds: dict[str, list[float]]  # of a call, by contender: one a sample
    counters: Counters  # of the measured one, over all its calls
    num_calls: int

    def flops_per_second(self, name: str) -> float:
        return self.case.flops / median(self.seconds[name])

    def times_as_fast(self, other: str) -> Spread:
        return times_as_fast(next(iter(self.seconds.values())), self.seconds[other])

    @property
    def pack_share(self) -> float | None:
        """Share of packing in the threads' time in calls; None without such threads."""
        pack_ns, multiply_ns = self.counters.pack_ns, self.counters.multiply_ns
        return pack_ns / (pack_ns + multiply_ns) if multiply_ns else None


def as_table(results: Sequence[CaseResult], peak: PeakMeter) -> Table:
    measured, *others = results[0].seconds
    title = "GEMMs, GFLOP/s: median (lowest-highest)"
    caption = f"vs: how many times as fast {measured} is, median of neighbours in time"
    table = Table(
        title=title,
        title_justify="left",
        caption=caption if others else None,
        caption_justify="left",
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    columns = ["m, k, n", "", measured, "of peak", "packing"]
    for name in others:
        columns += [name, f"vs {name}"]
    table.add_column("product", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result, measured, others, peak))
    if len(results) > 1:
        table.add_section()
        table.add_row(*_mean_cells(results, measured, others, peak))
    return table


def _cells(
    result: CaseResult, measured: str, others: Sequence[str], peak: PeakMeter
) -> list[str]:
    case = result.case
    cells = [
        *(case.name, f"{case.m}, {case.k}, {case.n}", case.blas),
        f"{_gigaflops(result, measured):.0f}",
        _percent(peak.share(result.flops_per_second(measured))),
        _percent(result.pack_share),
    ]
    for name in others:
        ratio = result.times_as_fast(name).median
        cells += [f"{_gigaflops(result, name):.0f}", f"{ratio:.2f} x"]
    return cells


def _mean_cells(
    results: Sequence[CaseResult],
    measured: str,
    others: Sequence[str],
    peak: PeakMeter,
) -> list[str]:
    means = _geometric_means(results)
    cells = [
        *("geometric mean", "", "", f"{means[measured] / 1e9:.0f}"),
        *(_percent(peak.share(means[measured])), ""),
    ]
    for name in others:
        ratio = geometric_mean([r.times_as_fast(name).median for r in results])
        cells += [f"{means[name] / 1e9:.0f}", f"{ratio:.2f} x"]
    return cells


def _geometric_means(results: Sequence[CaseResult]) -> dict[str, float]:
    """FLOP/s by contender; every product counts once, however often a step has it."""
    return {
        name: geometric_mean([result.flops_per_second(name) for result in results])
        for name in results[0].seconds
    }


def _gigaflops(result: CaseResult, name: str) -> Spread:
    return spread([result.case.flops / s / 1e9 for s in result.seconds[name]])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def as_record(results: Sequence[CaseResult], peak: PeakMeter) -> dict[str, Any]:
    """FLOP/s, seconds and shares; `times_as_fast` of the first contender."""
    measured, *others = results[0].seconds
    means = _geometric_means(results)
    return {
        "backend": measured,
        "peak_flops": peak.flops,
        "peak_samples": peak.samples,
        "gemms": [_case_record(result, others, peak) for result in results],
        "geometric_mean": {
            "flops_per_second": means,
            "share_of_peak": peak.share(means[measured]),
            "times_as_fast": {
                name: geometric_mean([r.times_as_fast(name).median for r in results])
                for name in others
            },
        },
    }


def _case_record(
    result: CaseResult, others: Sequence[str], peak: PeakMeter
) -> dict[str, Any]:
    return {
        **asdict(result.case),
        "flops": result.case.flops,
        "contenders": {
            name: {
                "seconds": seconds,
                "flops_per_second": result.flops_per_second(name),
                "share_of_peak": peak.share(result.flops_per_second(name)),
            }
            for name, seconds in result.seconds.items()
        },
        "times_as_fast": {name: asdict(result.times_as_fast(name)) for name in others},
        "pack_share": result.pack_share,
        "packed_bytes_per_call": result.counters.packed_bytes / result.num_calls,
        "copied_bytes_per_call": result.counters.copied_bytes / result.num_calls,
        "converted_bytes_per_call": result.counters.converted_bytes / result.num_calls,
    }


def draw(path: Path, results: Sequence[CaseResult], peak: PeakMeter) -> None:
    """GFLOP/s by product and contender, with the peak as a line."""
    names = list(results[0].seconds)
    height = 0.8 / len(names)
    figure = new_figure(9, 1.2 + 0.17 * len(results) * (len(names) + 1))
    axes = figure.subplots()
    for i, name in enumerate(names):
        spreads = [_gigaflops(result, name) for result in results]
        axes.barh(
            [row + (i - (len(names) - 1) / 2) * height for row in range(len(results))],
            [s.median for s in spreads],
            height * 0.92,
            xerr=(
                [s.median - s.low for s in spreads],
                [s.high - s.median for s in spreads],
            ),
            error_kw={"elinewidth": 0.8, "ecolor": "#555555"},
            color=COLORS[i % len(COLORS)],
            label=name,
        )
    if peak.flops:
        label = f"measured bf16 peak, {peak.flops / 1e9:,.0f}"
        axes.axvline(peak.flops / 1e9, color="black", linestyle="--", label=label)
    axes.set_yticks(range(len(results)), [_label(r.case) for r in results])
    axes.set_xlabel("GFLOP/s, median; thin lines from the lowest to the highest sample")
    axes.margins(y=0.01)
    bare_axes(axes)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    write_chart(path, figure)


def _label(case: GemmCase) -> str:
    return f"{case.name}\n{case.m} x {case.k} x {case.n}"
