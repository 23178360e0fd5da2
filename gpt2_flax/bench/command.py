"""`gpt2-flax bench`: the time of a training step on one backend against others.

    gpt2-flax bench --backend sim --against host
    gpt2-flax bench --backend sim-paced --against host xla --machine hx370
    gpt2-flax bench --model gpt2 --batch-size 4 --seq-len 64 --backend host \\
      --against xla torch-bf16 torch-f32 --chart bench.png

Each contender has a process of its own, and they take turns, one step each. A ratio is
of two steps that follow each other, so other load on the machine slows both.
"""

import argparse
import json
import math
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import jax_npu
from gpt2_flax.backend import resolve_backend
from gpt2_flax.bench.chart import draw
from gpt2_flax.bench.contender import Contender, require_contender
from gpt2_flax.bench.energy import DEFAULT_SECONDS, measure_energy
from gpt2_flax.bench.jax_trainer import NO_CUSTOM_CALLS, gemm_flops
from gpt2_flax.bench.report import as_record, as_table, describe_energy, describe_pace
from gpt2_flax.bench.results import Bench, Steps
from gpt2_flax.bench.worker import TORCH_CONTENDERS
from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.model_choice import choose_model
from gpt2_flax.flags.parsing.parser import Parser
from gpt2_flax.model import GPT2Config
from jax_npu.bench import (
    OtherLoad,
    PeakMeter,
    in_turn,
    load_warning,
    machine_facts,
    reject_repeated,
    require_matplotlib,
    versions,
    wide_console,
)
from jax_npu.energy import NotMeasured, StepEnergy
from jax_npu.files import require_folder_of
from jax_npu.runtime.environment import MACHINE
from jax_npu.runtime.target import PACED, shown_name
from xdna.machine_choice import machine

Reply = dict[str, Any]
Energies = list[StepEnergy | NotMeasured]  # of one contender, by sensor


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    require_folder_of(arguments.chart, arguments.profile)
    try:
        names = contender_names(arguments)
        if arguments.chart:
            require_matplotlib()
    except ValueError as e:
        raise InputError(f"{e}.") from None
    config = TrainConfig(
        model=arguments.model,
        batch_size=arguments.batch_size,
        seq_len=arguments.seq_len,
        activations=arguments.activations,
        optimizer=arguments.optimizer,
    )
    model = choose_model(config)
    bench = measure(names, model, config, arguments)
    print_results(bench, model, arguments)
    return 0


def make_parser() -> Parser:
    parser = Parser(
        prog="gpt2-flax bench", description="Times training steps, backend by backend."
    )
    parser.add_argument(
        "--backend",
        help=f"the one that is compared with the others; {PACED} is a virtual NPU that "
        "takes the chip's time and computes nothing",
    )
    parser.add_argument(
        "--against",
        nargs="*",
        default=[],
        metavar="NAME",
        help=f"the others: backends, {', '.join(TORCH_CONTENDERS)}, or NAME=COMMAND "
        "for a program that speaks the protocol of gpt2_flax/bench/contender.py",
    )
    parser.add_argument(
        "--machine",
        metavar="NAME|FILE.toml",
        help=f"machine whose NPU {PACED} keeps pace with, of 'jax-npu machines' "
        f"(default: ${MACHINE.name}, or the device's)",
    )
    parser.add_argument("--model", help="as in gpt2-flax train")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=TrainConfig.batch_size,
        help="rows of a step (default: %(default)s)",
    )
    parser.add_argument(
        "--seq-len",
        type=int,
        default=TrainConfig.seq_len,
        help="tokens of a row (default: %(default)s)",
    )
    parser.add_argument(
        "--activations",
        default=TrainConfig.activations,
        help="type of the arrays between matmuls (default: %(default)s)",
    )
    parser.add_argument(
        "--optimizer",
        default=TrainConfig.optimizer,
        help="as of gpt2-flax train (default: %(default)s)",
    )
    parser.add_argument("--repeats", type=int, default=5, help="measured steps of each")
    parser.add_argument("--warmup", type=int, default=1, help="steps after the first")
    parser.add_argument(
        "--energy",
        nargs="?",
        type=float,
        const=DEFAULT_SECONDS,
        metavar="SECONDS",
        help="measure joules as well, in a run of about SECONDS of each contender and "
        f"in a shorter one (default: {DEFAULT_SECONDS:.0f})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.add_argument("--chart", type=Path, help="draw a PNG")
    parser.add_argument("--profile", type=Path, help="trace the calls of one more step")
    return parser


def parse(argv: list[str] | None) -> argparse.Namespace:
    arguments = make_parser().parse_args(argv)
    for name, least in (("repeats", 1), ("warmup", 0)):
        if (given := getattr(arguments, name)) < least:
            raise InputError(f"--{name} must be at least {least}, got {given}.")
    if arguments.machine is not None:
        choose_machine(arguments.machine)
    seconds = arguments.energy
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"--energy must be above 0 and finite, got {seconds}.")
    return arguments


def choose_machine(name: str) -> None:
    """Makes it that of this process and of the contenders that it starts."""
    try:
        machine(name)
    except ValueError as e:
        raise InputError(f"--{e}.") from None
    os.environ[MACHINE.name] = name


def contender_names(arguments: argparse.Namespace) -> list[str]:
    names = [_resolve(arguments.backend)]
    if arguments.profile and names[0] == NO_CUSTOM_CALLS:
        raise InputError(
            f"--profile traces custom calls, and {names[0]} makes none; give another "
            "--backend."
        )
    for name in arguments.against:
        is_backend = name not in TORCH_CONTENDERS and "=" not in name
        names.append(_resolve(name) if is_backend else name)
        require_contender(name)
    reject_repeated([name.partition("=")[0] for name in names])
    return names


def _resolve(name: str | None) -> str:
    """The backend's name in tables."""
    if name == PACED:
        resolve_backend("sim")  # whether it runs here
        return PACED
    return shown_name(resolve_backend(name))


def measure(
    names: list[str],
    model: GPT2Config,
    config: TrainConfig,
    arguments: argparse.Namespace,
) -> Bench:
    """Runs first steps, steps to warm up and measured steps, the latter two in turn."""
    peak = PeakMeter()
    spec = {"model": asdict(model), "train": asdict(config)}
    with ExitStack() as stack:
        contenders = [stack.enter_context(Contender(name)) for name in names]
        # One by one: a first step compiles, and should have the machine to itself.
        starts = []
        for contender in contenders:
            ready = contender.ask(spec | {"contender": contender.name})
            starts.append((ready["versions"], contender.ask({"do": "step"})))
        steppers = [lambda c=c: c.ask({"do": "step"}) for c in contenders]
        in_turn(steppers, arguments.warmup)
        load = OtherLoad(contender.pid for contender in contenders)
        peak.sample()
        replies = in_turn(steppers, arguments.repeats, peak.sample)
        energies: list[Energies] = [[] for _ in contenders]
        if arguments.energy:
            taken = [median(reply["seconds"] for reply in row) for row in replies]
            energies = measure_energy(steppers, taken, arguments.energy)
        other_load = load.share()
        memory = [contender.ask({"do": "memory"}) for contender in contenders]
        if arguments.profile:
            path = str(arguments.profile.resolve())
            contenders[0].ask({"do": "profile", "path": path})
    steps = [
        steps_of(contender.name, *start, answers, end, energy)
        for contender, start, answers, end, energy in zip(
            contenders, starts, replies, memory, energies
        )
    ]
    flops = gemm_flops(model, config)
    num_tokens = config.batch_size * config.seq_len
    return Bench(steps, peak, flops, num_tokens, other_load)


def steps_of(
    name: str,
    packages: dict[str, str],
    first: Reply,
    replies: list[Reply],
    end: Reply,
    energy: Energies,
) -> Steps:
    counted = [reply["counters"] for reply in replies]
    return Steps(
        name,
        packages,
        first["seconds"],
        [reply["seconds"] for reply in replies],
        [reply["loss"] for reply in replies],
        [jax_npu.Counters(**c) for c in counted] if counted[0] else None,
        end["peak_memory_bytes"],
        energy,
        mean_lateness(first, replies),
        replies[-1].get("pinned_bytes", 0),
    )


def mean_lateness(first: Reply, replies: list[Reply]) -> float | None:
    """Microseconds by which runs of the measured steps were answered late."""
    if not (before := first.get("lateness")):
        return None
    counted = replies[-1]["lateness"]
    runs = counted["runs"] - before["runs"]
    return (counted["late_ns"] - before["late_ns"]) / runs / 1e3 if runs else None


def print_results(
    bench: Bench, model: GPT2Config, arguments: argparse.Namespace
) -> None:
    facts, packages = machine_facts(), versions("jax-npu")
    for steps in bench.contenders:
        packages |= steps.versions
    if arguments.json:
        record = {
            **facts,
            "versions": packages,
            "model": asdict(model),
            "batch_size": arguments.batch_size,
            "seq_len": arguments.seq_len,
            **as_record(bench),
        }
        print(json.dumps(record, indent=2))
    else:
        wide_console().print(as_table(bench))
        print(f"{facts['cpu']}, {facts['cores']} cores, {facts['isa']}; {bench.peak}")
        for steps in bench.contenders:
            if steps.name == PACED:
                print(describe_pace(steps))
        if arguments.energy:
            print(describe_energy(bench))
        print(", ".join(f"{name} {version}" for name, version in packages.items()))
    if warning := load_warning(bench.other_load):
        print(f"gpt2-flax: {warning}.", file=sys.stderr)
    if arguments.chart:
        draw(arguments.chart, bench)
