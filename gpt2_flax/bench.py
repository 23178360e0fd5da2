"""gpt2-flax bench: how fast a training step is on one backend against others.

    gpt2-flax bench --backend sim --against host
    taskset -c 0 gpt2-flax bench --model gpt2 --batch-size 4 --backend sim --repeats 3

All run in one process, a step of each in turn, after a step that compiles; the ratios
are of neighbours in time, so a machine that others use too slows both.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import jax
import numpy as np
import rich
from rich.table import Table

import jax_npu
from gpt2_flax.backend import resolve_backend
from gpt2_flax.config import TrainConfig, choose_model
from gpt2_flax.errors import InputError, one_line_errors
from gpt2_flax.model import init_params, logits_function
from gpt2_flax.optimizer import make_optimizer, make_schedule
from gpt2_flax.train import State, make_train_step


@dataclass(frozen=True)
class Timing:
    """Steps on one backend. `ratio`: how many times as long the measured one takes."""

    backend: str
    seconds: list[float]  # one a step
    first_seconds: float  # with compilation
    tokens_per_second: float
    ratio: float | None  # median of the pairs; none for the measured backend itself


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="gpt2-flax bench", description="Times training steps, backend by backend."
    )
    parser.add_argument("--backend", help="the one that is measured")
    parser.add_argument("--against", nargs="*", default=[], help="the others")
    parser.add_argument("--model", help="as in gpt2-flax train")
    parser.add_argument("--batch-size", type=int, default=TrainConfig.batch_size)
    parser.add_argument("--seq-len", type=int, default=TrainConfig.seq_len)
    parser.add_argument("--repeats", type=int, default=5, help="steps of each")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        raise InputError(f"--repeats must be at least 1, got {arguments.repeats}.")
    names = [resolve_backend(name) for name in [arguments.backend, *arguments.against]]
    if len(set(names)) < len(names):
        raise InputError(f"--against must name other backends, got {', '.join(names)}.")
    config = TrainConfig(
        model=arguments.model,
        batch_size=arguments.batch_size,
        seq_len=arguments.seq_len,
    )
    timings = measure(config, names, arguments.repeats)
    machine = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "jax": jax.__version__,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if arguments.json:
        record = {**machine, "timings": [asdict(timing) for timing in timings]}
        print(json.dumps(record, indent=2))
    else:
        rich.print(as_table(timings))
        print(", ".join(f"{name} {value}" for name, value in machine.items()))
    return 0


def measure(config: TrainConfig, names: Sequence[str], repeats: int) -> list[Timing]:
    """Training steps on random tokens, a step on each backend in turn."""
    model = choose_model(config)
    schedule = make_schedule(config.lr, config.warmup_steps, config.steps)
    optimizer = make_optimizer(schedule, config.weight_decay, config.max_grad_norm)
    logits = logits_function(model, jax_npu.dot_general)
    shape = (config.batch_size, config.seq_len + 1)
    random = np.random.default_rng(config.seed)
    tokens = random.integers(0, model.vocab_size, shape, np.int32)

    def stepper(name: str) -> Callable[[], float]:
        params = init_params(model, config.seed)
        state = State(params, optimizer.init(params))
        train_step = make_train_step(logits, optimizer)

        def step() -> float:
            nonlocal state
            start = time.perf_counter()
            with jax_npu.backend(name):
                state, loss, _ = train_step(state, tokens)
                loss.block_until_ready()
            return time.perf_counter() - start

        return step

    steps = [stepper(name) for name in names]
    first = [step() for step in steps]
    rounds = [[step() for step in steps] for _ in range(repeats)]
    timings = []
    for i, name in enumerate(names):
        seconds = [row[i] for row in rounds]
        tokens_per_second = config.batch_size * config.seq_len / median(seconds)
        ratio = median(row[0] / row[i] for row in rounds) if i else None
        timings.append(Timing(name, seconds, first[i], tokens_per_second, ratio))
    return timings


def as_table(timings: Sequence[Timing]) -> Table:
    table = Table(title="Training steps", title_justify="left")
    table.add_column("backend")
    columns = "first step, s", "median, s", "spread, s", "tokens/s"
    for name in (*columns, f"{timings[0].backend} takes"):
        table.add_column(name, justify="right")
    for timing in timings:
        table.add_row(
            timing.backend,
            f"{timing.first_seconds:.2f}",
            f"{median(timing.seconds):.3f}",
            f"{min(timing.seconds):.3f}-{max(timing.seconds):.3f}",
            f"{timing.tokens_per_second:,.0f}",
            "" if timing.ratio is None else f"{timing.ratio:.2f} times as long",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
