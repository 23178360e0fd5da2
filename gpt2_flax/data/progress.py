"""The progress of tokenizing: a bar on a terminal, one line at the end elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gpt2_flax.data.sources import PYTHON_DOCS, Source
from gpt2_flax.data.writing import Advance

WORTH_A_LINE_BYTES = 10_000_000  # less is tokenized within two seconds
PLAIN = ("text", "jsonl", "bin", "npy")  # kinds whose size tells how much there is


@contextmanager
def show_tokenizing(sources: list[Source]) -> Iterator[Advance]:
    """Yields what is to be called with each number of bytes that is tokenized."""
    console = Console(stderr=True)
    done = 0
    start = time.monotonic()
    progress = Progress(
        TextColumn("tokenizing"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = progress.add_task("", total=total_bytes(sources))

    def advance(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        progress.update(task, completed=done)

    with progress:
        yield advance
    if done >= WORTH_A_LINE_BYTES:
        seconds = time.monotonic() - start
        print(
            f"tokenized {done / 1e6:,.0f} MB in {seconds:.0f} s "
            f"({done / 1e6 / seconds:.1f} MB/s); kept for later runs"
        )


def total_bytes(sources: list[Source]) -> int | None:
    sizes = [
        source.path.stat().st_size
        for source in sources
        if source.kind in PLAIN and not source.compression
    ]
    known = [source for source in sources if source.kind != PYTHON_DOCS]
    return sum(sizes) if len(sizes) == len(known) else None
