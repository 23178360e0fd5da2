"""Hugging Face GPT-2 directories: `config.json` and the weights, read and written.

Its Conv1D keeps (in, out) as nnx.Linear does, so arrays are renamed, never transposed.
"""

import json
import math
from pathlib import Path
from typing import Any

import jax
from safetensors import SafetensorError
from safetensors.flax import load_file, save_file

from gpt2_flax.errors import InputError
from gpt2_flax.files import write_atomically
from gpt2_flax.model import GPT2Config, Params, shape_params

# What this model computes; the first value is the default of an absent key.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "n_inner": (None,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}

MODULES = {
    "tokens": "wte",
    "positions": "wpe",
    "norm_1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.proj": "attn.c_proj",
    "norm_2": "ln_2",
    "mlp.fc": "mlp.c_fc",
    "mlp.proj": "mlp.c_proj",
    "norm": "ln_f",
}
LEAVES = {"embedding": "weight", "kernel": "weight", "scale": "weight", "bias": "bias"}


def read_config(folder: Path) -> GPT2Config:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(
            "--weights needs a Hugging Face GPT-2 directory with a config.json, "
            f"and {path} is not there."
        )
    try:
        fields = json.loads(path.read_text())
    except ValueError as e:
        raise InputError(f"{path} is not JSON: {e}.") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path} should be a JSON object, and is not.")
    supported = {**SUPPORTED, "n_inner": (None, 4 * fields.get("n_embd", 768))}
    for key, allowed in supported.items():
        if (value := fields.get(key, allowed[0])) not in allowed:
            raise InputError(
                f"{path} has {key} = {value!r}; this GPT-2 supports "
                f"{' or '.join(map(repr, allowed))} only."
            )
    # An absent key means the default of transformers' GPT2Config.
    return GPT2Config(
        num_layers=fields.get("n_layer", 12),
        num_heads=fields.get("n_head", 12),
        embed_dim=fields.get("n_embd", 768),
        vocab_size=fields.get("vocab_size", 50257),
        num_positions=fields.get("n_positions", 1024),
        norm_eps=fields.get("layer_norm_epsilon", 1e-5),
    )


def load_params(folder: Path, config: GPT2Config) -> Params:
    """The float32 parameters of the model in `folder`; `config` is its read_config."""
    arrays = {
        name.removeprefix("transformer."): array
        for name, array in read_arrays(folder).items()
    }

    def find(path: tuple[Any, ...], ours: jax.ShapeDtypeStruct) -> jax.Array:
        name, shape = theirs(path), matrix_shape(ours.shape)
        if name not in arrays:
            raise InputError(f"{folder} has no weight {name}; it is not a whole GPT-2.")
        if arrays[name].shape != shape:
            raise InputError(
                f"{folder}: {name} should be {shape} after config.json, "
                f"but is {arrays[name].shape}."
            )
        return jax.numpy.asarray(arrays[name], ours.dtype).reshape(ours.shape)

    return jax.tree.map_with_path(find, shape_params(config))


def save_weights(folder: Path, config: GPT2Config, params: Params) -> None:
    """Writes `folder` so that GPT2LMHeadModel.from_pretrained opens it."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "transformer." + theirs(path): array.reshape(matrix_shape(array.shape))
        for path, array in jax.tree.leaves_with_path(params)
    }
    write_atomically(
        folder / "model.safetensors",
        lambda path: save_file(arrays, path, metadata={"format": "pt"}),
    )
    fields = {
        "architectures": ["GPT2LMHeadModel"],
        **{key: allowed[0] for key, allowed in SUPPORTED.items()},
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_embd": config.embed_dim,
        "vocab_size": config.vocab_size,
        "n_positions": config.num_positions,
        "layer_norm_epsilon": config.norm_eps,
    }
    text = json.dumps(fields, indent=2)
    write_atomically(folder / "config.json", lambda path: path.write_text(text))


def read_arrays(folder: Path) -> dict[str, Any]:
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        try:
            return load_file(safe)
        except SafetensorError as e:
            raise InputError(f"{safe} cannot be read: {e}.") from None
    if not pickled.is_file():
        raise InputError(
            f"{folder} has neither model.safetensors nor pytorch_model.bin."
        )
    try:
        import torch
    except ImportError:
        raise InputError(
            f"reading {pickled} needs torch (pip install torch); "
            "model.safetensors is read without it."
        ) from None
    try:
        tensors = torch.load(pickled, map_location="cpu", weights_only=True)
        return {name: tensor.float().numpy() for name, tensor in tensors.items()}
    except Exception as e:  # whatever pickle, zipfile or torch makes of the bytes
        reason = str(e).split("\n")[0][:200]
        raise InputError(f"{pickled} cannot be read: {reason}.") from e


def theirs(path: tuple[Any, ...]) -> str:
    """blocks, 3, attention, qkv, kernel -> h.3.attn.c_attn.weight"""
    *modules, leaf = (str(key.key) for key in path)
    block = ""
    if modules[0] == "blocks":
        block, modules = f"h.{modules[1]}.", modules[2:]
    return f"{block}{MODULES['.'.join(modules)]}.{LEAVES[leaf]}"


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Theirs for our `shape`: attention's output projection is (H, D, C) here."""
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 2 else shape
