"""Adapters in PEFT's format: adapter_config.json and adapter_model.safetensors.

PEFT keeps A as (rank, inputs) and B as (outputs, rank), the transposes of ours.
"""

import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from gpt2_flax.adapters.names import layers_of_targets, targets_of_layers
from gpt2_flax.backend import require_results
from gpt2_flax.errors import InputError
from gpt2_flax.files import read_object, write_json
from gpt2_flax.hf.tensors import FLOATS, open_file
from gpt2_flax.layers.adapter import LENGTHS, LORA_A, LORA_B, AdapterConfig
from gpt2_flax.model import Params
from gpt2_flax.weights import MODULES, read_float32
from jax_npu.files import write_atomically

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model.transformer."
ENDS = {LORA_A: "lora_A.weight", LORA_B: "lora_B.weight"}
ENDS[LENGTHS] = "lora_magnitude_vector"
# Keys that change what an adapter computes, and the values that this one computes.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM", None),
    "bias": ("none",),
    "alpha_pattern": ({}, None),
    "rank_pattern": ({}, None),
    "layers_to_transform": (None,),
    "layer_replication": (None,),
    "modules_to_save": (None, []),
    "exclude_modules": (None, []),
    "trainable_token_indices": (None,),
    "target_parameters": (None,),
    "lora_bias": (False,),
    "use_qalora": (False,),
    "alora_invocation_tokens": (None,),
}


def save_adapter(
    folder: Path, adapter: AdapterConfig, params: Params, base: str | None
) -> None:
    """Writes the adapter among `params` for `peft.PeftModel.from_pretrained`.

    Args:
      base: name or folder of the weights that it was trained on, for PEFT to find them.
    """
    require_results("an export")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for i, block in params["blocks"].items():
        for target in adapter.targets:
            module, name = target.split(".")
            for leaf, end in ENDS.items():
                if leaf in (layer := block[module][name]):
                    key = f"{PREFIX}h.{i}.{MODULES[target]}.{end}"
                    arrays[key] = to_peft(leaf, np.asarray(layer[leaf]))
    write_atomically(
        folder / WEIGHTS, lambda path: save_file(arrays, path, {"format": "pt"})
    )
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "target_modules": targets_of_layers(adapter.targets),
        "use_dora": adapter.dora,
        "use_rslora": adapter.by_root_of_rank,
        "fan_in_fan_out": True,  # GPT-2's layers keep (inputs, outputs)
        "bias": "none",
        "lora_dropout": 0.0,
        "inference_mode": True,
    }
    write_json(folder / CONFIG, fields)


def read_adapter(folder: Path) -> AdapterConfig:
    """The adapter that adapter_config.json describes.

    Raises:
      InputError: it is none, or computes what ours do not.
    """
    path = folder / CONFIG
    fields = read_object(path)
    for key, allowed in SUPPORTED.items():
        if (value := fields.get(key, allowed[0])) not in allowed:
            raise InputError(
                f"{path} has {key} = {value!r}; this program supports "
                f"{' or '.join(map(repr, allowed))} only."
            )
    rank, alpha = fields.get("r", 8), fields.get("lora_alpha", 8)  # PEFT's defaults
    targets = fields.get("target_modules") or ["c_attn"]
    targets = [targets] if isinstance(targets, str) else targets
    is_valid = type(rank) is int and type(alpha) in (int, float)
    if not (is_valid and isinstance(targets, list) and all(map(is_text, targets))):
        raise InputError(
            f"{path} should have numbers r and lora_alpha and names target_modules, "
            f"got {rank!r}, {alpha!r} and {targets!r}."
        )
    return AdapterConfig(
        rank=rank,
        alpha=float(alpha),
        targets=layers_of_targets(targets),
        dora=fields.get("use_dora", False) is True,
        by_root_of_rank=fields.get("use_rslora", False) is True,
    )


def load_adapter(folder: Path, adapter: AdapterConfig, params: Params) -> Params:
    """`params` with the adapter's values in place of those beside the same layers.

    Args:
      params: of the model with that adapter, as from `adapters.initial.add_adapter`.

    Raises:
      InputError: a tensor is missing, unknown, or of another shape or type.
    """
    tensors = open_file(folder / WEIGHTS)
    blocks = {}
    for i, block in params["blocks"].items():
        new = {name: dict(module) for name, module in block.items()}
        for target in adapter.targets:
            module, name = target.split(".")
            layer = new[module][name] = dict(new[module][name])
            for leaf, end in ENDS.items():
                if leaf in layer:
                    key = f"{PREFIX}h.{i}.{MODULES[target]}.{end}"
                    found = tensors.pop(key, None)
                    layer[leaf] = from_peft(folder, leaf, key, found, layer[leaf].shape)
        blocks[i] = new
    if tensors:
        raise InputError(
            f"{folder / WEIGHTS} has {min(tensors)}, which {CONFIG} does not describe; "
            "get both from one training."
        )
    return {**params, "blocks": blocks}


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def to_peft(leaf: str, array: NDArray[Any]) -> NDArray[Any]:
    if leaf == LENGTHS:
        return array
    matrix = array.reshape(math.prod(array.shape[:-1]), array.shape[-1])
    return np.ascontiguousarray(matrix.T)


def from_peft(
    folder: Path, leaf: str, name: str, tensor: Any, shape: tuple[int, ...]
) -> Any:
    expected = shape if leaf == LENGTHS else (shape[-1], math.prod(shape[:-1]))
    if tensor is None or tensor.shape != expected or tensor.dtype not in FLOATS:
        found = f"{tensor.dtype} {tensor.shape}" if tensor else "no such tensor"
        raise InputError(
            f"{folder / WEIGHTS} should have {name} of floats {expected}, and has "
            f"{found}."
        )
    array = read_float32(tensor)
    if not np.isfinite([array.min(), array.max()]).all():
        raise InputError(f"{folder / WEIGHTS}: {name} has NaN or infinite values.")
    return jnp.array(array if leaf == LENGTHS else array.T).reshape(shape)
