"""Flags of what is trained, and of how much memory that takes."""

from dataclasses import dataclass

from gpt2_flax.errors import InputError
from gpt2_flax.flags.field import flag, require
from gpt2_flax.layers.remat import REMAT

ADAPTERS = ("lora", "dora")
ALL_LINEAR = "all-linear"
MOMENTS = ("f32", "bf16")
# A second moment shrinks by 1 - beta2 of itself a step; bf16 keeps no change below
# 2^-9 of a value.
LARGEST_BETA2 = 0.99
FROM_CONFIG = "config"
OTHER_SUMS = "gradients are summed in another order, so losses will differ a little"


@dataclass(frozen=True)
class MemoryFlags:
    adapter: str | None = flag(
        None,
        f"train a low-rank adapter alone: {' or '.join(ADAPTERS)}, or a folder with "
        "one in PEFT's format to go on from",
        str,
        brief=f"train a low-rank adapter alone: {' or '.join(ADAPTERS)}",
    )
    lora_rank: int | None = flag(None, "rank of a new adapter (default: 8)", int)
    lora_alpha: float | None = flag(
        None, "its products are scaled by alpha / rank (default: twice the rank)", float
    )
    lora_targets: tuple[str, ...] = flag(
        (),
        "layers that have it: PEFT's names such as c_attn, c_proj, mlp.c_fc (default: "
        f"{ALL_LINEAR})",
        str,
    )
    freeze: tuple[str, ...] = flag(
        (), "weights not to train, by transformers' names: wte h.[0-5] *.bias", str
    )
    train_only: tuple[str, ...] = flag((), "weights to train, and no others", str)
    accumulate: int = flag(
        1,
        "parts of a batch that are computed one after another: activations take a "
        "share of the memory, and the step is the same",
        on_change=OTHER_SUMS,
    )
    remat: str = flag(
        "none",
        f"one of {', '.join(REMAT)}: what the backward pass computes again instead of "
        "keeping it: the weights of attention, or all inside each block",
        brief=f"recompute {' or '.join(REMAT[1:])}",
        on_change=OTHER_SUMS,
    )
    dropout: str | None = flag(
        None,
        f"share of values to drop in training, or {FROM_CONFIG} for the rates of "
        "--weights (default: none)",
        str,
    )
    moments: str = flag(
        "f32",
        f"one of {', '.join(MOMENTS)}: type of the optimizer's moments; bf16 takes "
        "half the memory",
    )

    @property
    def dropout_rate(self) -> float | None:
        """The rate that replaces the model's own; None where those hold, or none."""
        if self.dropout in (None, FROM_CONFIG):
            return None
        try:
            return float(self.dropout or 0)
        except ValueError:
            return float("nan")

    def check(self) -> None:
        for name, known in [("remat", REMAT), ("moments", MOMENTS)]:
            holds = getattr(self, name) in known
            require(self, name, holds, f"one of {', '.join(known)}")
        require(self, "accumulate", self.accumulate >= 1, "at least 1")
        if (rate := self.dropout_rate) is not None:
            what = f"at least 0 and below 1, or {FROM_CONFIG}"
            require(self, "dropout", 0 <= rate < 1, what)
        given = [n for n in ("lora_rank", "lora_alpha") if getattr(self, n) is not None]
        given += ["lora_targets"] if self.lora_targets else []
        if given and self.adapter not in ADAPTERS:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise InputError(f"{flags} describe a new adapter; give --adapter lora.")
        if self.adapter and (self.freeze or self.train_only):
            raise InputError(
                "--adapter trains the adapter alone; drop --freeze and --train-only."
            )
        batch_size = getattr(self, "batch_size", 0)
        if batch_size % self.accumulate:
            raise InputError(
                f"--accumulate {self.accumulate} cuts a batch into equal parts; "
                f"--batch-size {batch_size} must be a multiple."
            )
        if self.moments == "bf16":
            beta2, optimizer = (getattr(self, n) for n in ("beta2", "optimizer"))
            if optimizer not in ("fused", "optax"):
                raise InputError(
                    f"--moments bf16 is for AdamW; drop it, or --optimizer {optimizer}."
                )
            if beta2 > LARGEST_BETA2:
                raise InputError(
                    f"--moments bf16 needs --beta2 of at most {LARGEST_BETA2}, got "
                    f"{beta2}: smaller changes are below bf16's steps."
                )
