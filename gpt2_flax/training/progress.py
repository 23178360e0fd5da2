"""The progress that a training run prints, and the signals that ask it to end."""

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gpt2_flax.flags.config import TrainConfig
from jax_npu.bench.peak import host_peak_flops

LINES_EVERY = 10  # steps, where stdout is not a terminal
SMOOTHING = 0.9  # weight of the past in the smoothed time per step

Row = dict[str, float]


class TrainingConsole(Console):
    """A console whose reader may close the pipe (`| head`), which acts like Ctrl-C."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())  # later prints go nowhere
        signal.raise_signal(signal.SIGINT)


@contextmanager
def show_progress(
    first: int,
    config: TrainConfig,
    flops: int = 0,
    joules_per_step: Callable[[], float | None] = lambda: None,
) -> Iterator[Callable[[Row], None]]:
    """Yields a function that shows a metrics row: in a bar on a terminal, else a line.

    Lines come every LINES_EVERY steps. `flops` is what the products of a step take, of
    which the share of the cores' bf16 peak is shown; 0 leaves that out. Validations
    show the joules of a step until then, if they are measured.
    """
    steps, tokens_per_step = config.steps, config.batch_size * config.seq_len
    peak = host_peak_flops() if flops else None
    console = TrainingConsole()
    progress = Progress(
        TextColumn("step {task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = progress.add_task("", total=steps, completed=first, status="compiling")
    clock = StepClock()

    def show(row: Row) -> None:
        step = int(row["step"])
        if "val_loss" in row:
            line = f"step {step}  {describe_validation(row['val_loss'])}"
            if joules := joules_per_step():
                line += f", {joules:.3g} J per step"
            console.print(line, highlight=False, soft_wrap=True)
            clock.pause()
            return
        seconds = clock.tick()
        speed = tokens_per_step / seconds if seconds else 0.0
        status = f"loss {row['loss']:.3f}  {speed:,.0f} tokens/s"
        if peak and seconds:
            status += f"  {flops / seconds / peak:.1%} of the cores' peak"
        progress.update(task, completed=step, status=status)
        if not console.is_terminal and (step % LINES_EVERY == 0 or step == steps):
            console.print(
                f"step {step}/{steps}  {status}  {(steps - step) * seconds:.0f} s left",
                highlight=False,
                soft_wrap=True,  # a log has a line for each
            )

    with progress:
        yield show


def describe_validation(loss: float) -> str:
    """The loss in nats per token, and the perplexity, its exponential."""
    return f"validation loss {loss:.3f}, perplexity {perplexity(loss):,.1f}"


def perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf  # e^710 is beyond float64


class StepClock:
    """Smoothed seconds per step.

    The first step, which compiles, and the time of validations do not count.
    """

    def __init__(self) -> None:
        self.last: float | None = None
        self.seconds = 0.0

    def tick(self) -> float:
        now = time.perf_counter()
        if self.last is not None:
            taken = now - self.last
            smoothed = SMOOTHING * self.seconds + (1 - SMOOTHING) * taken
            self.seconds = smoothed if self.seconds else taken
        self.last = now
        return self.seconds

    def pause(self) -> None:
        """Leaves out the time from now to the next tick."""
        self.last = None


@contextmanager
def ask_on_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C or SIGTERM sets the event; a second one acts at once, as usual."""
    asked = threading.Event()

    def handle(signum: int, frame: object) -> None:
        asked.set()
        restore()

    def restore() -> None:
        for number, usual in usuals.items():
            signal.signal(number, usual)

    usuals = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        restore()
