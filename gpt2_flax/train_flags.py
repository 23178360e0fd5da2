"""The flags of `gpt2-flax train`: each field of TrainConfig is one.

A new field is at once a flag with a help text, a part of the run's `config.json`, and
what --resume compares. Only --out, --resume and --overwrite are defined in train.py.
"""

import argparse
import math
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gpt2_flax.data import PYTHON_DOCS
from gpt2_flax.errors import InputError
from gpt2_flax.hf.tokenizer import check_tokenizer
from gpt2_flax.model import ACTIVATIONS, MODELS, SEEDS, GPT2Config
from gpt2_flax.tokenizer import NUM_TOKENS
from gpt2_flax.weights import check_tensors, read_config

DEFAULT_MODEL = "mini"
OPTIMIZERS = ("fused", "optax")
CHANGEABLE = ("backend", "optimizer")  # by --resume: they only change roundings
CHECKPOINT_MINUTES = 10  # longest time between checkpoints: what a crash can cost


def flag(default: Any, why: str, kind: type | None = None) -> Any:
    """A field that is also a flag; `why` is its help text and the reason for its value.

    `kind` converts the flag's text; it is only needed where the default is None.
    """
    return field(default=default, metadata={"why": why, "kind": kind or type(default)})


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a training run."""

    backend: str | None = flag(
        None, "where matmuls run (default: $JAX_NPU_BACKEND, else auto)", str
    )
    model: str | None = flag(
        None, f"one of {', '.join(MODELS)} (default: {DEFAULT_MODEL})", str
    )
    num_layers: int | None = flag(None, "blocks, instead of the model's", int)
    num_heads: int | None = flag(None, "heads per block, instead of the model's", int)
    embed_dim: int | None = flag(None, "channels, instead of the model's", int)
    activations: str = flag(
        GPT2Config.activations,
        f"one of {', '.join(ACTIVATIONS)}: type of the arrays between matmuls; bf16 "
        "takes half the memory. Parameters and gradients stay f32",
    )
    weights: str | None = flag(
        None, "Hugging Face GPT-2 directory to start from; it brings its own model", str
    )
    data: str = flag(
        PYTHON_DOCS, "UTF-8 text file, or the documentation inside CPython"
    )
    steps: int = flag(
        400, "training steps; the validation loss of mini still falls after 400"
    )
    batch_size: int = flag(8, "with --seq-len: tokens per step; memory grows with both")
    seq_len: int = flag(64, "tokens that attention sees")
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
    )
    eval_every: int = flag(
        50,
        "steps between validations, each with a checkpoint; there is one every "
        f"{CHECKPOINT_MINUTES} minutes too",
    )
    eval_batches: int = flag(20, "largest number of batches in a validation")
    seed: int = flag(0, "chooses the initial weights and every batch")

    def __post_init__(self) -> None:
        for name in ["steps", "batch_size", "seq_len", "eval_every", "eval_batches"]:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        known = self.optimizer in OPTIMIZERS
        self._require("optimizer", known, f"one of {', '.join(OPTIMIZERS)}")
        self._require("seed", self.seed in SEEDS, "0 to 2^63 - 1")
        self._require("warmup_steps", self.warmup_steps >= 0, "at least 0")
        for name in ["lr", "max_grad_norm"]:
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ["lr", "weight_decay"]:
            holds = 0 <= getattr(self, name) < math.inf
            self._require(name, holds, "at least 0 and finite")

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise InputError(
                f"{flag_name(name)} must be {what}, got {getattr(self, name)}."
            )


def flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each field, absent from the parsed arguments unless given."""
    for f in fields(TrainConfig):
        default = "" if f.default is None else f" (default: {f.default})"
        parser.add_argument(
            flag_name(f.name),
            type=f.metadata["kind"],
            default=argparse.SUPPRESS,
            help=f.metadata["why"] + default,
        )


def config_to_resume(saved: dict[str, Any], given: dict[str, Any]) -> TrainConfig:
    """The run's own configuration; `given` may repeat it, and change CHANGEABLE."""
    saved = asdict(saved_config(saved))
    changes = ", ".join(
        f"{flag_name(name)} was {saved[name]}, now {value}"
        for name, value in given.items()
        if saved[name] != value and name not in CHANGEABLE
    )
    if changes:
        raise InputError(
            f"--resume continues a run as it was begun, but {changes}. Drop the flag, "
            "or start over with another --out or --overwrite."
        )
    return TrainConfig(**{**saved, **given})


def saved_config(saved: dict[str, Any]) -> TrainConfig:
    """A run's configuration as it was begun, with defaults for newer flags."""
    return TrainConfig(
        **{"optimizer": "optax", **saved}
    )  # the only one before the flag


def choose_model(config: TrainConfig) -> GPT2Config:
    """The model that the flags describe, or the one in the folder --weights.

    Raises:
      InputError: there is no such model, or it does not fit the other flags.
    """
    names = ("num_layers", "num_heads", "embed_dim")
    given = {name: getattr(config, name) for name in names}
    overrides = {name: value for name, value in given.items() if value is not None}
    if config.weights:
        given_too = [*(["model"] if config.model else []), *overrides]
        model = model_of_weights(Path(config.weights), given_too)
    else:
        name = config.model or DEFAULT_MODEL
        if name not in MODELS:
            raise InputError(f"--model must be one of {', '.join(MODELS)}, got {name}.")
        model = replace(MODELS[name], **overrides)
    model = replace(model, activations=config.activations)
    if config.seq_len > model.num_positions:
        raise InputError(
            f"the model has {model.num_positions} positions; --seq-len must not exceed "
            f"them, got {config.seq_len}."
        )
    if model.vocab_size < NUM_TOKENS:
        raise InputError(
            f"GPT-2's tokens need a vocabulary of {NUM_TOKENS}, and {config.weights} "
            f"has {model.vocab_size}; give weights trained with GPT-2's tokenizer."
        )
    return model


def model_of_weights(folder: Path, given_too: list[str]) -> GPT2Config:
    """The model in a Hugging Face folder; `given_too` are flags that contradict it."""
    if given_too:
        raise InputError(
            "--weights brings the shape of its model; drop "
            f"{', '.join(map(flag_name, given_too))}."
        )
    check_tokenizer(folder)
    model = read_config(folder)
    check_tensors(folder, model)
    return model
