"""The progress that a training run prints, and the signals that ask it to end."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

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
    first: int, steps: int, tokens_per_step: int
) -> Iterator[Callable[[Row], None]]:
    """Yields a function that shows a metrics row: in a bar on a terminal, else a line.

    Lines come every LINES_EVERY steps.
    """
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
            console.print(f"step {step}  validation loss {row['val_loss']:.3f}")
            clock.pause()
            return
        seconds = clock.tick()
        speed = tokens_per_step / seconds if seconds else 0.0
        status = f"loss {row['loss']:.3f}  {speed:,.0f} tokens/s"
        progress.update(task, completed=step, status=status)
        if not console.is_terminal and (step % LINES_EVERY == 0 or step == steps):
            console.print(
                f"step {step}/{steps}  {status}  {(steps - step) * seconds:.0f} s left",
                highlight=False,
            )

    with progress:
        yield show


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
