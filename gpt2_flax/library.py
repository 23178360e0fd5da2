"""Training from Python, as `gpt2-flax train` does it."""

import os
from pathlib import Path
from typing import Any

from gpt2_flax.commands.train import checked_config
from gpt2_flax.commands.train import train as train_in
from gpt2_flax.errors import InputError
from gpt2_flax.loading import GPT2, load_run
from gpt2_flax.training.start import Existing

SEVERAL = {"data", "validation"}  # flags of one source or several


def train(
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **flags: Any,
) -> GPT2:
    """Trains a model in the run folder `out`, and returns it.

    `flags` are those that `gpt2-flax train --help` lists, with underscores:
    `train("run", data="book.txt", weights="gpt2", steps=100, lr=3e-5)`. Progress is
    printed as the command prints it, and the folder can be used with every command.

    Args:
      resume: goes on with the run in `out`, bit for bit.
      overwrite: replaces the run in `out`.

    Raises:
      InputError: a flag, the data or the folder is not what it must be.
      TrainingError, NpuError: the run ended before its last step; what is kept.
      KeyboardInterrupt: it was interrupted; what it reached is saved, for `resume`.
      TypeError: there is no such flag.
    """
    if resume and overwrite:
        raise InputError("resume goes on with a run and overwrite ends it; choose one.")
    existing: Existing = "resume" if resume else "overwrite" if overwrite else "refuse"
    given = {name: plain(value) for name, value in flags.items()}
    for name in SEVERAL & given.keys():
        given[name] = (given[name],) if isinstance(given[name], str) else given[name]
    folder = Path(out)
    if train_in(checked_config(given, folder, existing), folder, existing):
        raise KeyboardInterrupt(f"training in {folder} was interrupted")
    return load_run(folder)


def plain(value: Any) -> Any:
    """A flag's value as the command line has it: paths as texts, lists as tuples."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value
