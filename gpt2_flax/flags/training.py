"""Flags of training: how long, at which rate, with which optimizer."""

import math
from dataclasses import dataclass

from gpt2_flax.errors import InputError
from gpt2_flax.flags.field import flag, require
from gpt2_flax.model import SEEDS

ADAMW = ("fused", "optax")  # two programs with one state
# Those of optax and optax.contrib that need no more than gradients and parameters.
OF_OPTAX = (
    *("adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamaxw"),
    *("adamw", "adan", "ademamix", "adopt", "amsgrad", "lamb", "lars", "lion", "muon"),
    *("nadam", "nadamw", "novograd", "radam", "rmsprop", "sgd", "signum", "yogi"),
)
OPTIMIZERS = (*ADAMW, *OF_OPTAX)
SCHEDULES = ("cosine", "linear", "constant", "wsd")
WARMUP_STEPS = 40
# Peak rates with --weights, unless given: of all weights, and of an adapter alone, as
# GPT-2's in table 11 of https://arxiv.org/abs/2106.09685.
WEIGHTS_LR, ADAPTER_LR = 3e-5, 2e-4
OTHER_RATES = "the learning rate of each later step is that of the new schedule"


@dataclass(frozen=True)
class TrainingFlags:
    steps: int = flag(
        400,
        "training steps; the validation loss of mini still falls after 400. --resume "
        "with more of them trains a finished run longer",
        brief="training steps",
        on_change=OTHER_RATES,
    )
    lr: float = flag(
        3e-3,
        "peak learning rate (default: 0.003 for mini; gpt2 from scratch takes 6e-4. "
        "With --weights 3e-5, or 2e-4 for an --adapter)",
        brief="peak rate (default: 0.003, or with --weights 3e-5)",
        on_change=OTHER_RATES,
    )
    schedule: str = flag(
        "cosine",
        f"one of {', '.join(SCHEDULES)}: how the rate falls after the warm-up; wsd "
        "(warm-up, stable, decay) stays at --lr until the last --decay-steps",
        on_change=OTHER_RATES,
    )
    min_lr: float | None = flag(
        None,
        "rate at the end (default: a tenth of --lr)",
        float,
        on_change=OTHER_RATES,
    )
    warmup_steps: int | None = flag(
        None,
        "steps to the peak: Adam's second moments are noise in the first ones "
        f"(default: {WARMUP_STEPS}, or a tenth of --steps if that is fewer)",
        int,
        on_change=OTHER_RATES,
    )
    decay_steps: int | None = flag(
        None,
        "last steps, in which --schedule wsd falls (default: a tenth of --steps)",
        int,
        on_change=OTHER_RATES,
    )
    beta1: float = flag(0.9, "decay of the mean of gradients, where there is one")
    beta2: float = flag(
        0.95, "decay of the mean of their squares; GPT-3's, as nanoGPT and llm.c have"
    )
    weight_decay: float = flag(0.1, "on matrices only; a small text is soon overfitted")
    max_grad_norm: float = flag(1.0, "norm to which longer gradients are shortened")
    optimizer: str = flag(
        "fused",
        "AdamW in one pass over memory (fused) or as XLA compiles optax's (optax), "
        "whose steps differ by roundings, and their checkpoints do not; or another of "
        f"optax's by its name: {', '.join(OF_OPTAX)}",
        before="optax",  # the only one before the flag
        on_change="it rounds differently, so losses will differ a little",
    )
    patience: int | None = flag(
        None,
        "validations without a lower loss than the best after which training ends "
        "(default: it never ends early)",
        int,
        brief="end after N validations without a better loss",
        on_change="training ends by the new rule",
    )
    keep_best: bool = flag(
        True,
        "keep the checkpoint of the lowest validation loss, beside the newest two",
        on_change="it holds from now on",
    )
    seed: int = flag(0, "chooses the initial weights and every batch")

    @property
    def warmup(self) -> int:
        """Steps of warm-up."""
        if self.warmup_steps is None:
            return min(WARMUP_STEPS, self.steps // 10)
        return self.warmup_steps

    @property
    def decay(self) -> int:
        """Steps of the decay of --schedule wsd."""
        if self.schedule != "wsd":
            return 0
        given = self.decay_steps
        return max(self.steps // 10, 1) if given is None else given

    def check(self) -> None:
        require(self, "steps", self.steps >= 1, "at least 1")
        for name, known in [("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)]:
            what = f"one of {', '.join(known)}"
            require(self, name, getattr(self, name) in known, what)
        require(self, "seed", self.seed in SEEDS, "0 to 2^63 - 1")
        require(self, "warmup_steps", self.warmup >= 0, "at least 0")
        for name in ["lr", "max_grad_norm"]:
            require(self, name, getattr(self, name) > 0, "above 0")
        for name in ["lr", "weight_decay"]:
            holds = 0 <= getattr(self, name) < math.inf
            require(self, name, holds, "at least 0 and finite")
        for name in ["beta1", "beta2"]:
            require(self, name, 0 <= getattr(self, name) < 1, "at least 0 and below 1")
        if self.min_lr is not None:
            holds = 0 <= self.min_lr <= self.lr
            require(self, "min_lr", holds, f"0 to --lr {self.lr}")
        if self.patience is not None:
            require(self, "patience", self.patience >= 1, "at least 1")
        if self.decay_steps is not None:
            require(self, "decay_steps", self.decay_steps >= 1, "at least 1")

    def check_schedule(self) -> None:
        """What a new run must hold, or one whose schedule changes: older runs may not.

        Raises:
          InputError: the steps are too few for the schedule's parts.
        """
        if self.warmup >= self.steps:
            raise InputError(
                f"--warmup-steps {self.warmup} must be fewer than --steps {self.steps}:"
                f" the rate would never fall from its peak, --lr {self.lr}. Give "
                "fewer, or leave the flag out."
            )
        if self.decay_steps is not None and self.schedule != "wsd":
            raise InputError(
                "--decay-steps is for --schedule wsd, and --schedule is "
                f"{self.schedule}; drop the flag, or choose wsd."
            )
        if self.warmup + self.decay > self.steps:
            raise InputError(
                f"--warmup-steps {self.warmup} and --decay-steps {self.decay} must not "
                f"exceed --steps {self.steps} together; give fewer."
            )
