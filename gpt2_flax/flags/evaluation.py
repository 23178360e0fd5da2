"""Flags of validations, and of the checkpoints that come with them."""

from dataclasses import dataclass

from gpt2_flax.flags.field import flag, require

CHECKPOINT_MINUTES = 10  # longest time between checkpoints: what a crash can cost


@dataclass(frozen=True)
class EvaluationFlags:
    eval_every: int = flag(
        50,
        "steps between validations, each with a checkpoint; there is one every "
        f"{CHECKPOINT_MINUTES} minutes too",
        on_change="it holds from now on",
    )
    eval_batches: int = flag(
        20,
        "largest number of batches in a validation",
        on_change="later validations read another part of the text than earlier ones",
    )

    def check(self) -> None:
        for name in ["eval_every", "eval_batches"]:
            require(self, name, getattr(self, name) >= 1, "at least 1")
