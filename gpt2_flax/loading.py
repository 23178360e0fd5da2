"""A GPT-2 to use, with its tokenizer: of a run, or of a Hugging Face folder."""

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

import jax_npu
from gpt2_flax import run
from gpt2_flax.adapters.saved import merged_params
from gpt2_flax.checkpoint_choice import LATEST
from gpt2_flax.errors import InputError
from gpt2_flax.hf.hub import folder_of
from gpt2_flax.model import GPT2Config, Params, init_params, logits_function
from gpt2_flax.tokenizers import Tokenizer, load_tokenizer
from gpt2_flax.weights import load_params, read_config


@dataclass(frozen=True, eq=False)
class GPT2:
    """A language model: its shape, its float32 parameters, and its tokenizer."""

    config: GPT2Config
    params: Params
    tokenizer: Tokenizer

    def __post_init__(self) -> None:
        if self.config.vocab_size < self.tokenizer.num_tokens:
            raise InputError(
                f"{self.tokenizer.name} has {self.tokenizer.num_tokens} tokens, and "
                f"the model's vocabulary only {self.config.vocab_size}; give the "
                "tokenizer that the model was trained with."
            )

    def logits(self, tokens: ArrayLike) -> Array:
        """Token ids (..., T), at most the model's positions, to logits (..., T, V).

        They are differentiable, and may be used inside jit.
        """
        function = logits_function(self.config, jax_npu.dot_general)
        return function(self.params, jnp.asarray(tokens))


def load(source: str | Path, checkpoint: str = LATEST) -> GPT2:
    """The model of a run, of a folder in Hugging Face's format, or of a Hub name.

    Args:
      checkpoint: of a run: "latest", "best" (the lowest validation loss) or a step.

    Raises:
      InputError: there is none, or it is damaged or no GPT-2.
    """
    folder = folder_of(source)
    if run.find_run(folder):
        return load_run(folder, checkpoint)
    if checkpoint != LATEST:
        raise InputError(
            f"{source} is no run, and only runs have several checkpoints; drop "
            "--checkpoint."
        )
    return load_folder(folder)


def load_run(out: Path, checkpoint: str = LATEST) -> GPT2:
    """A checkpoint of the run in `out`, an adapter merged into it."""
    return GPT2(*merged_params(out, checkpoint), load_tokenizer(out))


def load_start(out: Path) -> GPT2:
    """The model that the run in `out` began with: its weights, or those of its seed."""
    record = run.read_run(out)
    config, flags = GPT2Config(**record["model"]), record["train"]
    if flags["weights"]:
        params = load(flags["weights"]).params
    else:
        params = init_params(config, flags["seed"])
    return GPT2(config, params, load_tokenizer(out))


def load_folder(folder: Path) -> GPT2:
    config = read_config(folder)
    tokenizer = load_tokenizer(folder)
    return GPT2(config, load_params(folder, config), tokenizer)
