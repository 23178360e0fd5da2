"""An adapter merged into the weights that it changes, in float64 on the host."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.layers.adapter import (
    ADAPTER_LEAVES,
    LENGTHS,
    LORA_A,
    LORA_B,
    AdapterConfig,
)
from gpt2_flax.model import Params


def merge_adapter(params: Params, adapter: AdapterConfig | None) -> Params:
    """The parameters of a plain GPT-2 that computes the same; formulas in `layers`."""
    if adapter is None:
        return params
    blocks = {
        i: {name: _module(part, adapter) for name, part in block.items()}
        for i, block in params["blocks"].items()
    }
    return {**params, "blocks": blocks}


def _module(module: Params, adapter: AdapterConfig) -> Params:
    return {
        name: _layer(layer, adapter) if isinstance(layer, dict) else layer
        for name, layer in module.items()
    }


def _layer(layer: dict[str, Any], adapter: AdapterConfig) -> dict[str, Any]:
    if LORA_A not in layer:
        return layer
    plain = {name: x for name, x in layer.items() if name not in ADAPTER_LEAVES}
    return plain | {"kernel": _merged(layer, adapter)}


def _merged(layer: dict[str, Any], adapter: AdapterConfig) -> NDArray[np.float32]:
    kernel = np.asarray(layer["kernel"], np.float64)
    shape = kernel.shape
    a = np.asarray(layer[LORA_A], np.float64).reshape(math.prod(shape[:-1]), -1)
    b = np.asarray(layer[LORA_B], np.float64)
    merged = kernel.reshape(-1, shape[-1]) + adapter.scale * (a @ b)  # W + s A B
    if LENGTHS in layer:
        lengths = np.asarray(layer[LENGTHS], np.float64)
        merged *= lengths / np.linalg.norm(merged, axis=0)
    return merged.reshape(shape).astype(np.float32)
