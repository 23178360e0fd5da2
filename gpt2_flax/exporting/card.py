"""The model card of an export: README.md as the Hub reads it."""

import json
from pathlib import Path
from typing import Any

import jax

from gpt2_flax.loading import GPT2

# Flags of training that say what a model is; others only say how it was computed.
TOLD = (
    *("data", "steps", "batch_size", "seq_len", "lr", "schedule", "optimizer"),
    *("weight_decay", "seed", "adapter", "lora_rank", "lora_alpha", "freeze"),
)


def model_card(model: GPT2, record: dict[str, Any] | None) -> str:
    """Front matter and text; `record` is the run's, None for a model of other weights.

    No path of this machine goes into it, only names.
    """
    config = model.config
    count = sum(array.size for array in jax.tree.leaves(model.params))
    train = (record or {}).get("train", {})
    base = base_model(train.get("weights"))
    front = ["library_name: transformers", "pipeline_tag: text-generation"]
    front += [f"base_model: {json.dumps(base)}"] if base else []
    front += ["tags:", "- gpt2", "- jax-npu"]
    lines = [
        "---",
        *front,
        "---",
        "",
        "# GPT-2",
        "",
        f"{count:,} parameters: {config.num_layers} layers, {config.num_heads} heads, "
        f"{config.embed_dim} channels, {config.num_positions} positions, "
        f"{config.vocab_size:,} tokens ({describe_tokenizer(model)}).",
    ]
    if train:
        lines += ["", "Trained by gpt2-flax (jax-npu)", ""]
        lines += [f"* {name}: {tell(train[name])}" for name in TOLD if train.get(name)]
    return "\n".join([*lines, ""])


def base_model(weights: str | None) -> str | None:
    """The name on the Hub of the weights that training began with, if they had one."""
    if weights is None or Path(weights).exists() or weights.startswith(("/", ".")):
        return None
    return weights


def describe_tokenizer(model: GPT2) -> str:
    name = model.tokenizer.name
    return "the tokens of its folder" if "/" in name else name


def tell(value: Any) -> str:
    """The value, without the folders of a path."""
    if isinstance(value, list | tuple):
        return ", ".join(map(tell, value))
    return Path(value).name if isinstance(value, str) else str(value)
