"""What of a model a run trains, and the parameters that it begins with."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gpt2_flax import run
from gpt2_flax.adapters.initial import add_adapter
from gpt2_flax.adapters.names import layers_of_targets
from gpt2_flax.adapters.peft import CONFIG, load_adapter, read_adapter
from gpt2_flax.adapters.saved import Parts, merged_params
from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.memory import ADAPTERS, ALL_LINEAR
from gpt2_flax.hf.hub import folder_of
from gpt2_flax.layers.adapter import AdapterConfig
from gpt2_flax.model import GPT2Config, Params, init_params
from gpt2_flax.weights import load_params

RANK = 8  # of PEFT and of torchtune's recipes
ALPHA_PER_RANK = 2  # the scale alpha / rank of torchtune's recipes


def parts_of_flags(config: TrainConfig) -> Parts:
    """What the flags say is trained.

    Raises:
      InputError: --adapter is neither a kind nor a folder with an adapter.
    """
    if config.adapter is None:
        return Parts(None, config.freeze, config.train_only)
    if config.adapter in ADAPTERS:
        rank = RANK if config.lora_rank is None else config.lora_rank
        alpha = config.lora_alpha
        return Parts(
            AdapterConfig(
                rank=rank,
                alpha=float(ALPHA_PER_RANK * rank) if alpha is None else alpha,
                targets=layers_of_targets(config.lora_targets or (ALL_LINEAR,)),
                dora=config.adapter == "dora",
            )
        )
    folder = Path(config.adapter)
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"--adapter must be {', '.join(ADAPTERS)} or a folder with {CONFIG}, and "
            f"{config.adapter} is none of them."
        )
    return Parts(read_adapter(folder))


def first_params(
    config: TrainConfig, model: GPT2Config, parts: Parts
) -> tuple[Params, str | None]:
    """The parameters before step 1, an adapter's among them.

    Their hash is the second, if files give any of them.
    """
    params = base_params(config, model)
    from_files = config.weights is not None
    if parts.adapter:
        params = add_adapter(params, parts.adapter, config.seed)
        if config.adapter not in ADAPTERS:
            from_files = True
            params = load_adapter(Path(str(config.adapter)), parts.adapter, params)
    return params, sha256_of(params) if from_files else None


def base_params(config: TrainConfig, model: GPT2Config) -> Params:
    if not config.weights:
        return init_params(model, config.seed)
    folder = folder_of(config.weights)
    if run.find_run(folder):
        return merged_params(folder)[1]
    return load_params(folder, model)


def sha256_of(params: Any) -> str:
    sha256 = hashlib.sha256()
    for array in jax.tree.leaves(params):
        sha256.update(np.asarray(array))
    return sha256.hexdigest()
