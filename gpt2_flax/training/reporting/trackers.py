"""Metrics for other programs, besides `metrics.jsonl`: TensorBoard, Weights & Biases.

A resumed run goes on with the same files, or the same run, under its steps.
"""

import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.tracking import PACKAGES
from gpt2_flax.training.devices.processes import is_first
from gpt2_flax.training.progress import Row
from jax_npu.files import write_atomically

Log = Callable[[Row], None]


def require_trackers(names: tuple[str, ...]) -> None:
    """
    Raises:
      InputError: the package of one is not installed.
    """
    for name in names:
        package = PACKAGES[name]
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"--track {name} needs the package {package}: "
                f"pip install 'jax-npu[{name}]'"
            )


@contextmanager
def open_trackers(config: TrainConfig, out: Path) -> Iterator[Log]:
    """Yields a function that logs a row of the metrics with every tracker."""
    makers = {"tensorboard": tensorboard, "wandb": wandb}
    with ExitStack() as stack:
        logs = [
            stack.enter_context(makers[name](config, out))
            for name in config.track
            if is_first()
        ]

        def log(row: Row) -> None:
            for one in logs:
                one(row)

        yield log


@contextmanager
def tensorboard(config: TrainConfig, out: Path) -> Iterator[Log]:
    """Event files in OUT/tensorboard, for `tensorboard --logdir OUT`."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(out / "tensorboard")) as writer:

        def log(row: Row) -> None:
            for name, value in values_of(row).items():
                writer.add_scalar(name, value, int(row["step"]))

        yield log


@contextmanager
def wandb(config: TrainConfig, out: Path) -> Iterator[Log]:
    """A run of the project gpt2-flax, or of $WANDB_PROJECT; WANDB_* variables hold."""
    import wandb

    options: dict[str, Any] = {"id": kept_id(out / "wandb"), "resume": "allow"}
    if "WANDB_PROJECT" not in os.environ:
        options["project"] = "gpt2-flax"
    with wandb.init(
        name=out.absolute().name, dir=str(out), config=asdict(config), **options
    ) as wandb_run:
        yield lambda row: wandb_run.log(values_of(row), step=int(row["step"]))


def kept_id(folder: Path) -> str:
    """A name of the run's own, by which a resumed run is known, too."""
    path = folder / "run-id"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        write_atomically(path, lambda partial: partial.write_text(uuid.uuid4().hex))
    return path.read_text()


def values_of(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "step"}
