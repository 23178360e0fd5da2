"""The configuration of a training run: the flags of every group, in one dataclass.

A new field of a group is at once a flag with a help text, a part of the run's
`config.json`, and what --resume compares.
"""

import argparse
from dataclasses import dataclass, fields
from typing import Any

from gpt2_flax.flags.data import DataFlags
from gpt2_flax.flags.evaluation import EvaluationFlags
from gpt2_flax.flags.field import add_flag
from gpt2_flax.flags.machine import MachineFlags
from gpt2_flax.flags.memory import MemoryFlags
from gpt2_flax.flags.model import ModelFlags
from gpt2_flax.flags.tracking import TrackingFlags
from gpt2_flax.flags.training import TrainingFlags

GROUPS: dict[str, Any] = {  # title in --help: the flags
    "model": ModelFlags,
    "memory": MemoryFlags,
    "data": DataFlags,
    "training": TrainingFlags,
    "evaluation": EvaluationFlags,
    "progress": TrackingFlags,
    "machine": MachineFlags,
}


@dataclass(frozen=True)
class TrainConfig(
    MachineFlags,
    TrackingFlags,
    EvaluationFlags,
    TrainingFlags,
    DataFlags,
    MemoryFlags,
    ModelFlags,
):
    """The configuration of a training run."""

    def __post_init__(self) -> None:
        for group in GROUPS.values():
            group.check(self)


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each field, absent from the parsed arguments unless given."""
    for title, group in GROUPS.items():
        flags = parser.add_argument_group(title)
        for f in fields(group):
            add_flag(flags, f)
