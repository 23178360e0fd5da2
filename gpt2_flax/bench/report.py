"""The results of `gpt2-flax bench` as a table for people and a record for JSON."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from gpt2_flax.bench.results import HOST_PARTS, Bench, Steps
from jax_npu.bench import spread
from jax_npu.energy import INTERVAL_SECONDS, NotMeasured, StepEnergy, reasons
from jax_npu.runtime.target import PACED, npu_device
from xdna.machine_choice import chosen_machine
from xdna.placement.host_side import EVICT_BYTES_PER_SECOND

BYTES = (
    *("packed_bytes", "flushed_bytes", "converted_bytes", "copied_bytes"),
    "optimizer_bytes",
)


def as_table(bench: Bench) -> Table:
    """A column for each contender; a row that nobody has a value for is left out."""
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
    row(f"{name}'s over it", against(lambda s: f"{bench.first_step_ratio(s):.2f}"))
    row("peak memory, MB", lambda s: f"{s.peak_memory_bytes / 1e6:,.0f}")
    row(f"{name}'s over it", against(lambda s: f"{bench.memory_ratio(s):.2f}"))
    row("pinned for the NPU, MB", lambda s: _megabytes_or_none(s.pinned_bytes))
    if bench.energy_sources:
        table.add_section()
        row("joules: mean of steps", _steps_of_energy)
    for source in bench.energy_sources:
        table.add_section()
        for label, figure in _energy_figures(bench).items():
            row(f"{source}: {label}", partial(_energy_cell, source, figure))
    table.add_section()
    row("share of bf16 peak", lambda s: _percent(bench.share_of_peak(s)))
    row("in custom calls", lambda s: _percent(bench.gemm_share_of_peak(s)))
    for part in ("multiplying", "packing", "in calls", "rest"):
        row(f"{part}, s", partial(_part_seconds, part))
    if any(steps.has_npu for steps in bench.contenders):
        table.add_section()
        row("NPU busy, s", lambda s: _seconds(s.device_seconds))
        row("NPU idle, share of a step", lambda s: _percent(s.device_idle_share))
        for part in HOST_PARTS:
            row(f"{part}, thread s", partial(_host_part_seconds, part))
    table.add_section()
    for counter in BYTES:
        label = f"{counter.removesuffix('_bytes')}, MB"
        row(label, partial(_megabytes, counter))
    return table


def _megabytes_or_none(num_bytes: int) -> str | None:
    return f"{num_bytes / 1e6:,.0f}" if num_bytes else None


def describe_pace(paced: Steps) -> str:
    """One line on what the figures of `sim-paced` are, and are not."""
    npu = npu_device()
    flushed = paced.counted("flushed_bytes") or 0
    flushing = paced.host_parts.get("flushing", 0)
    published = flushed / EVICT_BYTES_PER_SECOND
    late = paced.late_microseconds
    return (
        f"{PACED}: this host beside the {npu} of {chosen_machine(npu).name}, which "
        "answers by the virtual NPU's time model"
        + (f", {late:,.0f} us late on average" if late is not None else "")
        + f"; flushing took this host's caches {flushing * 1e3:,.0f} ms, and takes "
        f"{published * 1e3:,.0f} ms at the published 64 GB/s of an npu2's host; "
        "results are stand-ins"
    )


def describe_energy(bench: Bench) -> str:
    """One line on how the table's joules were measured, or why they were not."""
    missing = {
        str(one): one
        for steps in bench.contenders
        for one in steps.energy
        if isinstance(one, NotMeasured)
    }
    if not bench.energy_sources:
        return f"energy: {reasons(missing.values())}"
    found = [
        s.energy_by(name) for s in bench.contenders for name in bench.energy_sources
    ]
    idle = {s.source: s.idle_watts for s in found if s and s.idle_watts is not None}
    shown = ", ".join(f"{source} {watts:.3g} W" for source, watts in idle.items())
    return (
        f"energy: differences of a long and a short run, sampled every "
        f"{INTERVAL_SECONDS} s; idle: {shown or 'not measured'}"
        + (f"; {reasons(missing.values())}" if missing else "")
    )


Figure = Callable[[StepEnergy], float | None]


def _energy_figures(bench: Bench) -> dict[str, Figure]:
    def giga(flops_per_joule: float | None) -> float | None:
        return flops_per_joule / 1e9 if flops_per_joule is not None else None

    return {
        "J/step": lambda step: step.joules,
        "net of idle": lambda step: step.net_joules,
        "J/token": lambda step: step.joules / bench.tokens,
        "GFLOP/J (FLOPS/Ws)": lambda step: giga(step.flops_per_joule(bench.gemm_flops)),
    }


def _steps_of_energy(steps: Steps) -> str | None:
    measured = [one for one in steps.energy if isinstance(one, StepEnergy)]
    return f"{measured[0].steps:,}" if measured else None


def _energy_cell(source: str, figure: Figure, steps: Steps) -> str | None:
    energy = steps.energy_by(source)
    value = figure(energy) if energy else None
    return None if value is None else f"{value:.3g}"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"


def _part_seconds(part: str, steps: Steps) -> str | None:
    return _seconds(steps.parts.get(part))


def _host_part_seconds(part: str, steps: Steps) -> str | None:
    return _seconds(steps.host_parts.get(part))


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.3f}"


def _megabytes(counter: str, steps: Steps) -> str | None:
    num_bytes = steps.counted(counter)
    return None if num_bytes is None else f"{num_bytes / 1e6:,.1f}"


def as_record(bench: Bench) -> dict[str, Any]:
    """The results for JSON: seconds, bytes, FLOPs; shares and ratios, 1 = 100 %."""
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
    ratios: dict[str, Callable[[], Any]] = {
        "times_as_fast": lambda: asdict(bench.times_as_fast(steps)),
        "first_step_ratio": lambda: bench.first_step_ratio(steps),
        "memory_ratio": lambda: bench.memory_ratio(steps),
    }
    return {
        "name": steps.name,
        "seconds": steps.seconds,
        "median_seconds": median(steps.seconds),
        "tokens_per_second": bench.tokens / median(steps.seconds),
        "first_seconds": steps.first_seconds,
        "losses": steps.losses,
        "peak_memory_bytes": steps.peak_memory_bytes,
        "pinned_bytes": steps.pinned_bytes,
        "share_of_peak": bench.share_of_peak(steps),
        "gemm_share_of_peak": bench.gemm_share_of_peak(steps),
        "part_seconds": steps.parts,
        "host_part_seconds": steps.host_parts,
        "device_seconds": steps.device_seconds,
        "device_idle_share": steps.device_idle_share,
        "late_microseconds": steps.late_microseconds,
        "energy": [_energy_record(bench, one) for one in steps.energy],
        **{name: steps.counted(name) for name in (*BYTES, "calls", "flops")},
        **{key: None if is_measured else ratio() for key, ratio in ratios.items()},
    }


def _energy_record(bench: Bench, energy: StepEnergy | NotMeasured) -> dict[str, Any]:
    record = asdict(energy)
    if isinstance(energy, StepEnergy):
        record["net_joules"] = energy.net_joules
        record["joules_per_token"] = energy.joules / bench.tokens
        record["flops_per_joule"] = energy.flops_per_joule(bench.gemm_flops)
    return record
