"""The results of `gpt2-flax bench` as a PNG: a bar for each contender."""

from pathlib import Path
from statistics import median
from typing import Any

from gpt2_flax.bench.results import Bench, Steps
from jax_npu.bench import COLORS, bare_axes, new_figure, spread, write_chart

# Hatches by part of a step; "" stands for a whole step whose parts are not known.
HATCHES = {"multiplying": "", "in calls": "", "packing": "///", "rest": "..", "": ""}


def draw(path: Path, bench: Bench) -> None:
    """Draws seconds of a step by part, seconds of the first step, and peak memory."""
    figure = new_figure(9, 3.4 + 0.5 * len(bench.contenders))
    panels = figure.subplot_mosaic(
        [["step", "step"], ["first", "memory"]], height_ratios=[1.3, 1]
    )
    _draw_steps(panels["step"], bench)
    seconds = [steps.first_seconds for steps in bench.contenders]
    _draw_bars(panels["first"], bench, "first step, s", seconds, ".1f")
    megabytes = [steps.peak_memory_bytes / 1e6 for steps in bench.contenders]
    _draw_bars(panels["memory"], bench, "peak memory, MB", megabytes, ",.0f")
    write_chart(path, figure)


def _draw_steps(axes: Any, bench: Bench) -> None:
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
    _draw_legend(axes, bench)


def _draw_legend(axes: Any, bench: Bench) -> None:
    from matplotlib.patches import Patch

    # A dictionary keeps the order in which the parts were drawn; a set would not.
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


def _draw_bars(
    axes: Any, bench: Bench, title: str, values: list[float], form: str
) -> None:
    """Draws one bar for each contender, labelled by its value in the format `form`."""
    bars = axes.barh(_names(bench), values, color=_colors(bench))
    axes.bar_label(bars, [format(value, form) for value in values], padding=4)
    _finish(axes, title)


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
    axes.margins(x=0.35)  # room for the labels behind the bars
    axes.set_xlim(left=0)
    bare_axes(axes)
