"""The tables, the record and the picture of a forecast."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich
from rich import box
from rich.table import Table

from jax_npu.bench.chart import COLORS, bare_axes, new_figure, write_chart
from xdna.training.assumptions import ASSUMPTIONS
from xdna.training.forecast import Range, StepForecast, Way
from xdna.training.paper import OF_PAPER, REPORTED, compare_with_paper

# What a step is made of, and how tables name it.
PARTS = {
    "array": "array",
    "launch": "launches",
    "pack": "packing",
    "flush": "flushing",
    "check": "checking",
    "unpack": "unpacking",
    "host": "products on host",
    "attention": "attention on host",
    "other": "other loops of XLA",
    "optimizer": "optimizer",
}
HEADINGS = {"host": "host", "npu": "npu", "auto": "auto", "paper": "paper's"}


def print_tables(name: str, found: StepForecast, with_assumptions: bool) -> None:
    rich.print(_table(name, found))
    print("\n".join(_notes(found)))
    if found.machine.name == "7940hs":
        print(_paper(found))
    if with_assumptions:
        rich.print(_assumptions(found))


def _table(name: str, found: StepForecast) -> Table:
    table = Table(
        title=_title(name, found),
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("ms", no_wrap=True)
    for heading in HEADINGS.values():
        table.add_column(heading, justify="right")
    ways = [found.ways[name] for name in HEADINGS]
    for part, label in PARTS.items():
        table.add_row(label, *(_ms(way.parts.get(part, 0.0)) for way in ways))
    table.add_section()
    table.add_row("a step", *(_ms(way.seconds.expected) for way in ways))
    table.add_row("  from, to", *(_ends(way.seconds, 1e3, ".0f") for way in ways))
    table.add_row("times host", *(f"{way.times_host.expected:.2f}" for way in ways))
    table.add_row("  from, to", *(_ends(way.times_host, 1, ".2f") for way in ways))
    if ways[0].joules is not None:
        table.add_row("joules", *(f"{_expected(way):.2f}" for way in ways))
        table.add_row(
            "times host",
            *(f"{_expected(way) / _expected(ways[0]):.2f}" for way in ways),
        )
    return table


def _notes(found: StepForecast) -> list[str]:
    notes = [
        "A forecast, not measured. Parts overlap. Ranges are those of --assumptions,",
        "all good or all bad; of ratios, also good for one side and bad for the other.",
    ]
    if found.ways["host"].joules is None:
        notes.append("Joules: nobody has published watts of this machine.")
    return notes


def _title(name: str, found: StepForecast) -> str:
    cpu = found.machine.cpu
    return (
        f"A training step of {name}, {found.batch_size} x {found.seq_len} tokens, on "
        f"{found.machine.name}\n{cpu.model}, {cpu.cores} cores, {found.machine.device};"
        f" auto for {found.objective}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}" if seconds else ""


def _ends(one: Range, factor: float, form: str) -> str:
    return f"{one.low * factor:{form}}-{one.high * factor:{form}}"


def _expected(way: Way) -> float:
    assert way.joules is not None
    return way.joules.expected


def _paper(found: StepForecast) -> str:
    """The paper's own ratios, by its design on the machine it was measured on."""
    values = compare_with_paper(found.machine)
    gemms, step, power = (
        f"{values[what][0]:.2f} ({values[what][1]:.2f}-{values[what][2]:.2f})"
        for what in ("GEMMs", "step", "power")
    )
    on_battery = REPORTED["step on battery"]
    energy = on_battery / values["power"][0]
    return (
        "The paper's design against llm.c on this CPU, forecast and as reported:\n"
        f"  GEMMs  {gemms} times as fast; {REPORTED['GEMMs']}\n"
        f"  step   {step} times as fast; {REPORTED['step']}, and {on_battery} on "
        "battery,\n"
        "         whose clocks nobody has published: not reproduced\n"
        f"  watts  {power} of the CPU's, if both are as hx370's; so with\n"
        f"         {on_battery} the energy is {energy:.2f} times better; "
        f"{REPORTED['energy']}"
    )


def _assumptions(found: StepForecast) -> Table:
    table = Table(
        "assumption",
        "factor",
        "source",
        title="What it rests on, beside the profile (jax-npu machines "
        f"{found.machine.name})",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for one in (*ASSUMPTIONS, *OF_PAPER):
        good, _, bad = one.factors
        table.add_row(one.name, f"{bad:g}-{good:g}", one.source)
    return table


def record(name: str, found: StepForecast) -> dict[str, Any]:
    ways = {way: asdict(one) for way, one in found.ways.items()}
    for way in ways.values():
        placement = way["placement"]
        way["placement"] = {str(sizes): side for sizes, side in placement.items()}
    return {
        "model": name,
        "batch_size": found.batch_size,
        "seq_len": found.seq_len,
        "machine": asdict(found.machine),
        "objective": found.objective,
        "ways": ways,
        "paper": {
            "reported": REPORTED,
            "expected_low_high": compare_with_paper(found.machine),
        },
        "assumptions": [asdict(one) for one in (*ASSUMPTIONS, *OF_PAPER)],
    }


def draw(path: Path, name: str, found: StepForecast) -> None:
    """Stacked bars of the parts, with a mark where the step ends."""
    figure = new_figure(9, 3.2)
    axes = figure.subplots()
    bare_axes(axes)
    colors = [*COLORS, "#999999", "#8B4513", "#F0E442", "#000000"]
    for row, (way, heading) in enumerate(HEADINGS.items()):
        left = 0.0
        one = found.ways[way]
        for (part, label), color in zip(PARTS.items(), colors):
            width = one.parts.get(part, 0.0) * 1e3
            axes.barh(
                heading,
                width,
                left=left,
                color=color,
                height=0.6,
                label=label if row == 0 else None,
            )
            left += width
        ends = one.seconds
        axes.errorbar(
            ends.expected * 1e3,
            heading,
            xerr=[
                [(ends.expected - ends.low) * 1e3],
                [(ends.high - ends.expected) * 1e3],
            ],
            fmt="|",
            color="black",
            markersize=26,
            capsize=4,
        )
    axes.set_xlabel("ms; the line is where the step ends, since parts overlap")
    axes.set_title(_title(name, found), loc="left", fontsize=9)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    write_chart(path, figure)
