"""The step of Rösti & Franz (arXiv 2504.03083): llm.c with its GEMMs on the NPU.

Their array has tiles (64, 64, 32) of row-major operands, each read again for every
block. Before each GEMM the host copies both operands, after it the result; nothing
overlaps, and all else is llm.c's code in f32, attention among it. The CPU that they
compare with is llm.c, too.
"""

from dataclasses import dataclass, replace

from xdna.arithmetics import arithmetic_of_chip
from xdna.machines import MACHINES, Machine
from xdna.placement.costs import Costs
from xdna.placement.energy import joules
from xdna.placement.host_cost import ProfileHost
from xdna.placement.host_side import (
    EVICT_BYTES_PER_SECOND,
    UNPACK_BYTES_PER_SECOND,
    HostSide,
)
from xdna.placement.npu_cost import NpuModel
from xdna.placement.product import HOST, NPU, Product
from xdna.placement.timeline import Node, Timeline, timeline
from xdna.search.candidates import paper_design
from xdna.search.workload import Product as Offloaded
from xdna.search.workload import gpt2_workload
from xdna.timing import timing
from xdna.training.assumptions import (
    BAD,
    EXPECTED,
    GOOD,
    HOST_AHEAD,
    NPU_AHEAD,
    Assumption,
    Scenario,
)
from xdna.training.models import MODELS, Gpt2
from xdna.training.step import OPTIMIZER, OTHER

# What the paper reports, in times of the CPU: on mains, and on battery.
REPORTED = {"GEMMs": 2.8, "step": 1.7, "step on battery": 1.2, "energy": 1.4}

LLMC_STEP_SECONDS, LLMC_CORES = 5.3, 2  # 124M, 4 x 64 tokens
LLMC = Assumption(
    "speed of llm.c in f32",
    (1.2, 1.0, 0.75),
    "a step of 124M with 4 x 64 tokens was measured on two Zen 4 cores: 5.3 s",
)
# Its optimizer is one thread's: gradients are cleared, and seven arrays pass by.
LLMC_BYTES_OF_A_PARAMETER = 32
LLMC_GELU_SECONDS = 22e-9  # an element, tanhf forward, tanhf and coshf backward
LLMC_REST = Assumption(
    "speed of llm.c outside of GEMMs",
    (1.5, 1.0, 0.7),
    "assumed: a core passes over 12 GB/s and computes a GELU in 22 ns",
)
COPYING = Assumption(
    "share of the cores that copies operands for the paper's GEMMs",
    (1.0, 1.0, 0.125),
    "all threads, or one of eight; which is not known to us",
)
OF_PAPER = (LLMC, LLMC_REST, COPYING)
# A thread flushes what was just written: 11 to 24 GB/s measured on an Intel core.
WRITTEN_BYTES_PER_SECOND = 15e9
PADDED_VOCABULARY = 128  # llm.c pads to a multiple of it


def paper_timeline(
    model: Gpt2, batch_size: int, seq_len: int, machine: Machine, scenario: Scenario
) -> Timeline:
    """The schedule of the step, which is one chain, on their design."""
    nodes = _step(model, batch_size * seq_len, scenario)
    sides = [NPU if node.product else HOST for node in nodes]
    return timeline(nodes, sides, _costs(machine, scenario))


def _step(model: Gpt2, tokens: int, scenario: Scenario) -> list[Node]:
    nodes: list[Node] = []

    def add(node: Node) -> None:
        nodes.append(replace(node, after=(len(nodes) - 1,) if nodes else ()))

    for product in _workload(model, tokens):
        gemm = product.gemm
        one = Product(1, gemm.m, gemm.k, gemm.n, gemm.a_order, gemm.b_order)
        for _ in range(product.calls):
            add(Node((), one))
    optimizer, rest = _serial_seconds(model, tokens, scenario)
    add(Node((), seconds=rest, part=OTHER))
    add(Node((), seconds=optimizer, part=OPTIMIZER))
    return nodes


def llmc_seconds(
    model: Gpt2, tokens: int, machine: Machine, scenario: Scenario
) -> tuple[float, float]:
    """Seconds of llm.c on the CPU alone: its GEMMs, and everything else."""
    reference, reference_tokens = MODELS["gpt2"], 256
    serial = sum(_serial_seconds(reference, reference_tokens, EXPECTED))
    work = _macs(model, tokens) / _macs(reference, reference_tokens)
    core_seconds = LLMC_CORES * (LLMC_STEP_SECONDS - serial)
    gemms = work * core_seconds / machine.cpu.cores / LLMC.at(scenario.host)
    return gemms, sum(_serial_seconds(model, tokens, scenario))


@dataclass(frozen=True)
class Comparison:
    """The paper's step against llm.c on the same CPU, in one scenario.

    Attributes:
      gemms, step: times as fast.
      power: mean watts over those of the CPU alone, with hx370's watts.
    """

    gemms: float
    step: float
    power: float


def compare_with_paper(machine: Machine) -> dict[str, tuple[float, float, float]]:
    """Expected, lowest and highest value of what the paper reports, on mains."""
    scenarios = (EXPECTED, GOOD, BAD, NPU_AHEAD, HOST_AHEAD)
    found = [_comparison(machine, scenario) for scenario in scenarios]
    values = {
        "GEMMs": [one.gemms for one in found],
        "step": [one.step for one in found],
        "power": [one.power for one in found],
        "energy": [one.step / one.power for one in found],
    }
    return {name: (all_[0], min(all_), max(all_)) for name, all_ in values.items()}


def _comparison(machine: Machine, scenario: Scenario) -> Comparison:
    model = MODELS["gpt2"]
    run = paper_timeline(model, 4, 64, machine, scenario)
    gemms, rest = llmc_seconds(model, 256, machine, scenario)
    watts = MACHINES["hx370"].power
    used = joules(watts, run.seconds, run.seconds - run.array, run.array)
    assert used is not None
    assert watts.cpu_busy is not None
    return Comparison(
        gemms=gemms / (run.seconds - rest),
        step=(gemms + rest) / run.seconds,
        power=used / run.seconds / watts.cpu_busy,
    )


def _workload(model: Gpt2, tokens: int) -> tuple[Offloaded, ...]:
    vocabulary = -(-model.vocabulary // PADDED_VOCABULARY) * PADDED_VOCABULARY
    return gpt2_workload(tokens, model.width, model.num_layers, vocabulary)


def _macs(model: Gpt2, tokens: int) -> int:
    return sum(one.calls * one.gemm.macs for one in _workload(model, tokens))


def _serial_seconds(
    model: Gpt2, tokens: int, scenario: Scenario
) -> tuple[float, float]:
    """Seconds of one core: the optimizer, and GELU, which takes most of the rest."""
    speed = LLMC_REST.at(scenario.host)
    num_bytes = LLMC_BYTES_OF_A_PARAMETER * model.num_parameters
    num_gelus = 4 * model.num_layers * tokens * model.width
    return (
        num_bytes / UNPACK_BYTES_PER_SECOND / speed,
        num_gelus * LLMC_GELU_SECONDS / speed,
    )


def _costs(machine: Machine, scenario: Scenario) -> Costs:
    one = scenario.machine(machine)
    memory = one.cpu.memory_bytes_per_second
    cores = machine.cpu.cores * COPYING.at(scenario.npu)
    side = replace(
        HostSide.of(machine.cpu, cores),
        flush=WRITTEN_BYTES_PER_SECOND,
        evict=EVICT_BYTES_PER_SECOND,
        unpack=min(cores * UNPACK_BYTES_PER_SECOND, memory),
        check=0.0,
    )
    npu = NpuModel(
        paper_design(one.device),
        timing(one.device, one),
        arithmetic_of_chip(one.device),
        scenario.host_side(side, memory),
    )
    return Costs(npu, ProfileHost(one.cpu), machine.power, memory)
