"""What `gpt2-flax bench` tells: a table, a record for JSON, a chart."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from jax_npu.bench.chart import COLORS, bare_axes, new_figure, write_chart
from jax_npu.bench.peak import PeakMeter
from jax_npu.bench.side_by_side import Spread, spread, times_as_fast
from jax_npu.runtime.counters import Counters

HATCHES = {"multiplying": "", "in calls": "", "packing": "///", "rest": "..", "": ""}
BYTES = ("packed_bytes", "converted_bytes", "copied_bytes")


@dataclass(frozen=True)
class Steps:
    """What a contender answered."""

    name: str
    versions: dict[str, str]
    first_seconds: float  # with compilation
    seconds: list[float]  # one a step
    losses: list[float]
    counters: list[Counters] | None  # one a step; none without custom calls
    peak_memory_bytes: int

    @property
    def parts(self) -> dict[str, float]:
        """Median seconds of a step by part; empty without custom calls.

        The wall time of calls is shared as the threads' time is. An NPU's multiplying
        is no thread's, so there the calls stay whole.
        """
        if not self.counters:
            return {}
        pack = sum(c.pack_ns for c in self.counters)
        multiply = sum(c.multiply_ns for c in self.counters)
        calls = median(c.call_ns for c in self.counters) / 1e9
        rest = median(s - c.call_ns / 1e9 for s, c in zip(self.seconds, self.counters))
        if not multiply:
            return {"in calls": calls, "rest": rest}
        share = multiply / (pack + multiply)
        return {
            "multiplying": calls * share,
            "packing": calls * (1 - share),
            "rest": rest,
        }

    def counted(self, name: str) -> float | None:
        """Median of a counter, a step."""
        if not self.counters:
            return None
        return median(getattr(counters, name) for counters in self.counters)


@dataclass(frozen=True)
class Bench:
    """All contenders; the first is the measured one."""

    contenders: Sequence[Steps]
    peak: PeakMeter
    gemm_flops: int  # of a step
    tokens: int  # of a step
    other_load: float  # of other programs: share of the cores' time

    @property
    def measured(self) -> Steps:
        return self.contenders[0]

    def times_as_fast(self, other: Steps) -> Spread:
        return times_as_fast(self.measured.seconds, other.seconds)

    def share_of_peak(self, steps: Steps) -> float | None:
        """That the step's GEMM FLOPs reach in the whole step."""
        return self.peak.share(self.gemm_flops / median(steps.seconds))

    def gemm_share_of_peak(self, steps: Steps) -> float | None:
        """The same, in the time of the custom calls alone."""
        call_ns = steps.counted("call_ns")
        return self.peak.share(self.gemm_flops / call_ns * 1e9) if call_ns else None


def as_table(bench: Bench) -> Table:
    name = bench.measured.name
    title = "Training steps: median (lowest-highest)"
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("")
    for steps in bench.contenders:
        table.add_column(steps.name, justify="right")

    def row(label: str, cell: Callable[[Steps], str | None]) -> None:
        cells = [cell(steps) or "" for steps in bench.contenders]
        if any(cells):
            table.add_row(label, *cells)

    def against(cell: Callable[[Steps], str]) -> Callable[[Steps], str]:
        return lambda steps: "" if steps is bench.measured else cell(steps)

    row("step, s", lambda s: f"{spread(s.seconds):.3f}")
    row("tokens/s", lambda s: f"{bench.tokens / median(s.seconds):,.0f}")
    row(
        f"{name} is as fast, times",
        against(lambda s: f"{bench.times_as_fast(s):.2f}"),
    )
    row("first step, s", lambda s: f"{s.first_seconds:.2f}")
    row(f"{name}'s over it", against(lambda s: f"{_first_ratio(bench, s):.2f}"))
    row("peak memory, MB", lambda s: f"{s.peak_memory_bytes / 1e6:,.0f}")
    row(f"{name}'s over it", against(lambda s: f"{_memory_ratio(bench, s):.2f}"))
    table.add_section()
    row("share of bf16 peak", lambda s: _percent(bench.share_of_peak(s)))
    row("in custom calls", lambda s: _percent(bench.gemm_share_of_peak(s)))
    for part in ("multiplying", "packing", "in calls", "rest"):
        row(f"{part}, s", partial(_part_seconds, part))
    for counter in BYTES:
        label = f"{counter.removesuffix('_bytes')}, MB"
        row(label, partial(_megabytes, counter))
    return table


def _first_ratio(bench: Bench, other: Steps) -> float:
    return bench.measured.first_seconds / other.first_seconds


def _memory_ratio(bench: Bench, other: Steps) -> float:
    return bench.measured.peak_memory_bytes / other.peak_memory_bytes


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _part_seconds(part: str, steps: Steps) -> str | None:
    seconds = steps.parts.get(part)
    return None if seconds is None else f"{seconds:.3f}"


def _megabytes(counter: str, steps: Steps) -> str | None:
    num_bytes = steps.counted(counter)
    return None if num_bytes is None else f"{num_bytes / 1e6:,.1f}"


def as_record(bench: Bench) -> dict[str, Any]:
    """Seconds, bytes, FLOPs; shares and ratios as numbers, 1 being the whole."""
    return {
        "tokens_per_step": bench.tokens,
        "gemm_flops_per_step": bench.gemm_flops,
        "peak_flops": bench.peak.flops,
        "peak_samples": bench.peak.samples,
        "other_load": bench.other_load,
        "contenders": [_steps_record(bench, steps) for steps in bench.contenders],
    }


def _steps_record(bench: Bench, steps: Steps) -> dict[str, Any]:
    is_measured = steps is bench.measured
    ratios = {
        "times_as_fast": lambda: asdict(bench.times_as_fast(steps)),
        "first_step_ratio": lambda: _first_ratio(bench, steps),
        "memory_ratio": lambda: _memory_ratio(bench, steps),
    }
    return {
        "name": steps.name,
        "seconds": steps.seconds,
        "median_seconds": median(steps.seconds),
        "tokens_per_second": bench.tokens / median(steps.seconds),
        "first_seconds": steps.first_seconds,
        "losses": steps.losses,
        "peak_memory_bytes": steps.peak_memory_bytes,
        "share_of_peak": bench.share_of_peak(steps),
        "gemm_share_of_peak": bench.gemm_share_of_peak(steps),
        "part_seconds": steps.parts,
        **{name: steps.counted(name) for name in (*BYTES, "calls", "flops")},
        **{key: None if is_measured else ratio() for key, ratio in ratios.items()},
    }


def draw(path: Path, bench: Bench) -> None:
    """Seconds of a step, by part where parts are known; first steps; memory."""
    figure = new_figure(9, 3.4 + 0.5 * len(bench.contenders))
    panels = figure.subplot_mosaic(
        [["step", "step"], ["first", "memory"]], height_ratios=[1.3, 1]
    )
    _draw_steps(panels["step"], bench)
    for name, title, values, form in (
        ("first", "first step, s", [s.first_seconds for s in bench.contenders], ".1f"),
        (
            *("memory", "peak memory, MB"),
            *([s.peak_memory_bytes / 1e6 for s in bench.contenders], ",.0f"),
        ),
    ):
        bars = panels[name].barh(_names(bench), values, color=_colors(bench))
        panels[name].bar_label(bars, [format(v, form) for v in values], padding=4)
        _finish(panels[name], title)
    write_chart(path, figure)


def _draw_steps(axes: Any, bench: Bench) -> None:
    from matplotlib.patches import Patch

    for i, (steps, color) in enumerate(zip(bench.contenders, _colors(bench))):
        _draw_parts(axes, i, steps, color)
        times = spread(steps.seconds)
        lengths = [[times.median - times.low], [times.high - times.median]]
        axes.errorbar(
            times.median, i, xerr=lengths, color="#555555", elinewidth=1, capsize=3
        )
        axes.text(times.high, i, "  " + _step_label(bench, steps), va="center")
    axes.set_yticks(range(len(bench.contenders)), _names(bench))
    _finish(axes, "a training step, s: median, lowest to highest")
    parts = {part: None for steps in bench.contenders for part in steps.parts}
    patches = [
        Patch(label=part, hatch=HATCHES[part], facecolor="#888888", edgecolor="white")
        for part in parts
    ]
    if patches:
        place = {"loc": "lower right", "bbox_to_anchor": (1, 0.98), "ncols": 3}
        axes.legend(handles=patches, frameon=False, **place)


def _draw_parts(axes: Any, row: int, steps: Steps, color: str) -> None:
    left = 0.0
    for part, seconds in (steps.parts or {"": median(steps.seconds)}).items():
        style = {"color": color, "edgecolor": "white", "hatch": HATCHES[part]}
        axes.barh(row, seconds, left=left, **style)
        left += seconds


def _step_label(bench: Bench, steps: Steps) -> str:
    label = f"{median(steps.seconds):.3f}"
    if steps is bench.measured:
        return label
    ratio = bench.times_as_fast(steps).median
    return f"{label}; {bench.measured.name} is {ratio:.2f} times as fast"


def _names(bench: Bench) -> list[str]:
    return [steps.name for steps in bench.contenders]


def _colors(bench: Bench) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(len(bench.contenders))]


def _finish(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.margins(x=0.35)
    axes.set_xlim(left=0)
    bare_axes(axes)
