"""The configuration of a run that goes on: as it was begun, or changed where it may."""

from dataclasses import asdict, fields
from typing import Any

from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.field import flag_name
from gpt2_flax.flags.training import ADAMW, OTHER_RATES

# What --resume may change, and what follows from it.
CHANGEABLE: dict[str, str] = {
    f.name: f.metadata["on_change"]
    for f in fields(TrainConfig)
    if f.metadata["on_change"]
}


def config_to_resume(saved: dict[str, Any], given: dict[str, Any]) -> TrainConfig:
    """The run's own configuration; `given` may repeat it, and change CHANGEABLE.

    Raises:
      InputError: another flag differs, or the new schedule or optimizer does not fit.
    """
    old = saved_config(saved)
    changed = {
        k: (getattr(old, k), v) for k, v in given.items() if getattr(old, k) != v
    }
    if refused := ", ".join(
        f"{flag_name(name)} was {shown(before)}, now {shown(now)}"
        for name, (before, now) in changed.items()
        if not may_change(name, before, now)
    ):
        raise InputError(
            f"--resume continues a run as it was begun, but {refused}. Drop the flag, "
            "or start over with another --out or --overwrite."
        )
    config = TrainConfig(**{**asdict(old), **given})
    if any(CHANGEABLE[name] == OTHER_RATES for name in changed):
        config.check_schedule()
    return config


def shown(value: Any) -> str:
    """The value as the command line has it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def may_change(name: str, before: Any, now: Any) -> bool:
    if name == "optimizer":  # others have another state
        return {before, now} <= set(ADAMW)
    return name in CHANGEABLE


def saved_config(saved: dict[str, Any]) -> TrainConfig:
    """A run's configuration as it was begun; newer flags have their value of then."""
    older = {f.name: f.metadata["before"] for f in fields(TrainConfig)}
    if isinstance(saved.get("data"), str):  # the only source, once
        saved = {**saved, "data": (saved["data"],)}
    return TrainConfig(**{**older, **from_json(saved)})


def from_json(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with tuples for lists: JSON and argparse know no tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }
