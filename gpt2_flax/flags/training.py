"""Flags of training: how long, at which rate, with which optimizer."""

import math
from dataclasses import dataclass

from gpt2_flax.flags.field import flag, require
from gpt2_flax.model import SEEDS

OPTIMIZERS = ("fused", "optax")


@dataclass(frozen=True)
class TrainingFlags:
    steps: int = flag(
        400, "training steps; the validation loss of mini still falls after 400"
    )
    lr: float = flag(
        3e-3,
        "peak learning rate, for mini; gpt2 from scratch takes 6e-4, and --weights "
        "about 3e-5",
    )
    warmup_steps: int = flag(
        40, "steps to the peak: Adam's second moments are noise in the first ones"
    )
    weight_decay: float = flag(0.1, "on matrices only; a small text is soon overfitted")
    max_grad_norm: float = flag(1.0, "norm to which longer gradients are shortened")
    optimizer: str = flag(
        "fused",
        f"one of {', '.join(OPTIMIZERS)}: AdamW in one pass over memory, or as XLA "
        "compiles optax's. Their steps differ by roundings, their checkpoints do not",
        before="optax",  # the only one before the flag
        on_change="it rounds differently, so losses will differ a little",
    )
    seed: int = flag(0, "chooses the initial weights and every batch")

    def check(self) -> None:
        require(self, "steps", self.steps >= 1, "at least 1")
        known = self.optimizer in OPTIMIZERS
        require(self, "optimizer", known, f"one of {', '.join(OPTIMIZERS)}")
        require(self, "seed", self.seed in SEEDS, "0 to 2^63 - 1")
        require(self, "warmup_steps", self.warmup_steps >= 0, "at least 0")
        for name in ["lr", "max_grad_norm"]:
            require(self, name, getattr(self, name) > 0, "above 0")
        for name in ["lr", "weight_decay"]:
            holds = 0 <= getattr(self, name) < math.inf
            require(self, name, holds, "at least 0 and finite")
