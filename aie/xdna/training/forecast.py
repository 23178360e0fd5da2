"""What a training step of GPT-2 takes on a machine with an NPU: seconds and joules.

Four ways to run it: `host` and `npu` have all products on one side, `auto` is the
placement of `xdna.placement`, and `paper` is the design of Rösti & Franz, see
`paper.py`. None of this was measured on a chip.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.array import default_array
from xdna.machines import Machine
from xdna.placement.choice import best_placement, sides_of
from xdna.placement.costs import Costs, require_power
from xdna.placement.energy import joules
from xdna.placement.host_cost import HostModel, ProfileHost
from xdna.placement.host_side import HostSide
from xdna.placement.host_table import HostTable
from xdna.placement.npu_cost import NpuModel
from xdna.placement.product import Product, Sizes
from xdna.placement.timeline import Node, Timeline, timeline
from xdna.timing import timing
from xdna.training.assumptions import (
    BAD,
    EXPECTED,
    GOOD,
    HOST_AHEAD,
    HOST_RATE,
    NPU_AHEAD,
    OTHER_WORK,
    Scenario,
)
from xdna.training.models import Gpt2
from xdna.training.paper import paper_timeline
from xdna.training.step import OTHER, training_step

WAYS = ("host", "npu", "auto", "paper")


@dataclass(frozen=True)
class Range:
    """A number as it is expected, and its ends."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Way:
    """A step run in one way.

    Attributes:
      seconds: of the step.
      joules: None where the machine's watts are not published.
      times_host: seconds over those of `host`, in the same scenario.
      parts: seconds by part, as expected; they overlap.
      cpu_seconds, array_seconds: for which all cores, and the array, are at work.
      placement: of products with those sizes; {} for `paper`.
    """

    seconds: Range
    joules: Range | None
    times_host: Range
    parts: dict[str, float]
    cpu_seconds: float
    array_seconds: float
    placement: dict[Sizes, str]


@dataclass(frozen=True)
class StepForecast:
    """Ways to run a step, by their names in `WAYS`."""

    machine: Machine
    model: Gpt2
    batch_size: int
    seq_len: int
    objective: str
    ways: dict[str, Way]


def forecast_step(
    model: Gpt2,
    batch_size: int,
    seq_len: int,
    machine: Machine,
    objective: str = "time",
    table: HostTable | None = None,
) -> StepForecast:
    """The forecast of a training step.

    Args:
      objective: what `auto` places products for.
      table: of products measured on the CPU, instead of the profile's.

    Raises:
      ValueError: for sizes that the model does not have, or if the objective is energy
        and the machine's watts are not known.
    """
    if batch_size < 1 or not 1 <= seq_len <= model.num_positions:
        raise ValueError(
            f"a step needs a batch of at least 1 and texts of 1 to "
            f"{model.num_positions} tokens, got {batch_size} x {seq_len}"
        )
    if objective == "energy":
        require_power(machine.name, machine.power)
    placement = _auto(model, batch_size, seq_len, machine, objective, table)
    ways: dict[str, Way] = {}
    runs: dict[str, dict[Scenario, Timeline]] = {}
    for name in WAYS:
        placed = {} if name == "paper" else _sides(placement, name)
        runs[name] = {}
        for scenario in (EXPECTED, GOOD, BAD, NPU_AHEAD, HOST_AHEAD):
            if name == "paper":
                run = paper_timeline(model, batch_size, seq_len, machine, scenario)
            else:
                costs = costs_in(scenario, machine, table)
                step = _step(model, batch_size, seq_len, costs, scenario)
                run = timeline(step, sides_of(step, placed), costs)
            runs[name][scenario] = run
        ways[name] = _way(machine, runs[name], runs["host"], placed)
    return StepForecast(machine, model, batch_size, seq_len, objective, ways)


def costs_in(
    scenario: Scenario, machine: Machine, table: HostTable | None = None
) -> Costs:
    """Both sides of a machine in a scenario."""
    one = scenario.machine(machine)
    host: HostModel = ProfileHost(one.cpu)
    if table is not None:
        host = Scaled(table, HOST_RATE.at(scenario.host))
    memory = one.cpu.memory_bytes_per_second
    side = scenario.host_side(HostSide.of(machine.cpu), memory)
    times = timing(one.device, one)
    arithmetic = arithmetic_of_chip(one.device)
    npu = NpuModel(default_array(one.device), times, arithmetic, side)
    return Costs(npu, host, machine.power, memory)


@dataclass(frozen=True)
class Scaled:
    """A CPU that is so many times as fast as another one."""

    host: HostModel
    factor: float

    def seconds(self, product: Product) -> float:
        return self.host.seconds(product) / self.factor


def _step(
    model: Gpt2, batch_size: int, seq_len: int, costs: Costs, scenario: Scenario
) -> list[Node]:
    nodes = training_step(model, batch_size, seq_len, costs.memory_bytes_per_second)
    factor = OTHER_WORK.at(scenario.host)
    return [
        replace(node, seconds=factor * node.seconds) if node.part == OTHER else node
        for node in nodes
    ]


def _auto(
    model: Gpt2,
    batch_size: int,
    seq_len: int,
    machine: Machine,
    objective: str,
    table: HostTable | None,
) -> dict[Sizes, str]:
    costs = costs_in(EXPECTED, machine, table)
    step = _step(model, batch_size, seq_len, costs, EXPECTED)
    return best_placement(step, costs, objective)


def _sides(placement: dict[Sizes, str], way: str) -> dict[Sizes, str]:
    return placement if way == "auto" else dict.fromkeys(placement, way)


def _way(
    machine: Machine,
    runs: dict[Scenario, Timeline],
    host: dict[Scenario, Timeline],
    placement: dict[Sizes, str],
) -> Way:
    def energy(run: Timeline) -> float | None:
        return joules(machine.power, run.seconds, run.cpu, run.array)

    expected = runs[EXPECTED]
    has_watts = energy(expected) is not None
    return Way(
        seconds=_range(runs, lambda s: runs[s].seconds, (GOOD, BAD)),
        joules=_range(runs, lambda s: energy(runs[s]) or 0.0, (GOOD, BAD))
        if has_watts
        else None,
        times_host=_range(
            runs,
            lambda s: runs[s].seconds / host[s].seconds,
            (GOOD, BAD, NPU_AHEAD, HOST_AHEAD),
        ),
        parts=expected.parts,
        cpu_seconds=expected.cpu,
        array_seconds=expected.array,
        placement=placement,
    )


def _range(
    runs: dict[Scenario, Timeline],
    number: Callable[[Scenario], float],
    extremes: tuple[Scenario, ...],
) -> Range:
    values = [number(scenario) for scenario in extremes]
    expected = number(EXPECTED)
    return Range(expected, min(expected, *values), max(expected, *values))
