"""Flags of what else hears of a run's progress."""

from dataclasses import dataclass

from gpt2_flax.flags.field import flag, require

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}  # tracker: its package


@dataclass(frozen=True)
class TrackingFlags:
    track: tuple[str, ...] = flag(
        (),
        f"any of {', '.join(PACKAGES)}: programs that get the metrics, too, which "
        "metrics.jsonl always does",
        str,
        on_change="it holds from now on",
    )

    def check(self) -> None:
        known = set(self.track) <= set(PACKAGES)
        require(self, "track", known, f"some of {', '.join(PACKAGES)}")
