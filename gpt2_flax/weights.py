"""Hugging Face GPT-2 directories: `config.json` and the weights, read and written.

Hugging Face's Conv1D keeps (in, out) as nnx.Linear does, so arrays are renamed and
reshaped, never transposed. The format itself is in `hf/`.
"""

import math
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors.flax import save_file

from gpt2_flax.backend import require_results
from gpt2_flax.errors import InputError
from gpt2_flax.files import write_json
from gpt2_flax.hf.config import format_config, parse_config
from gpt2_flax.hf.tensors import FLOATS, PREFIX, Tensor, open_tensors
from gpt2_flax.model import GPT2Config, Params, shape_params
from jax_npu.files import write_atomically

TOKENS, HEAD = "wte.weight", "lm_head.weight"
# Their names of our modules and of our arrays.
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
    "head": "lm_head",
}
LEAVES = {"embedding": "weight", "kernel": "weight", "scale": "weight", "bias": "bias"}


def read_config(folder: Path) -> GPT2Config:
    """The model that `config.json` describes; its head is tied where transformers ties.

    Raises:
      InputError: it is another model than this GPT-2.
    """
    config, may_be_tied = parse_config(folder)
    return replace(config, tied_head=may_be_tied and is_tied(open_tensors(folder)))


def is_tied(tensors: dict[str, Tensor]) -> bool:
    """Whether transformers ties: head or embedding is absent, or both are equal."""
    if TOKENS not in tensors or HEAD not in tensors:
        return True
    tokens, head = tensors[TOKENS], tensors[HEAD]
    if tokens.shape != head.shape or {tokens.dtype, head.dtype} - set(FLOATS):
        return False  # check_tensors reports what is wrong
    return np.array_equal(read_float32(tokens), read_float32(head))


def load_params(folder: Path, config: GPT2Config) -> Params:
    """The float32 parameters of the model in `folder`, whose `read_config` is `config`.

    Raises:
      InputError: a tensor is missing, unknown, of another shape or type, or not finite.
    """
    tensors = check_tensors(folder, config)

    def load(path: tuple[Any, ...], ours: jax.ShapeDtypeStruct) -> jax.Array:
        name = theirs(path)
        array = read_float32(tensors[name])
        # The extremes are NaN if any value is; np.isfinite(array) would be an array.
        if not np.isfinite([array.min(), array.max()]).all():
            raise InputError(
                f"{tensors[name].file}: {name} has NaN or infinite values in float32; "
                "give weights from before training diverged."
            )
        return jax.numpy.array(array).reshape(ours.shape)  # a copy, off the file

    params: Params = jax.tree.map_with_path(load, shape_params(config))
    return params


def check_tensors(folder: Path, config: GPT2Config) -> dict[str, Tensor]:
    """The tensors of `folder` by name, checked to be those of `config` and no others.

    It reads no values.
    """
    tensors = open_tensors(folder)
    if config.tied_head and HEAD in tensors:
        head = tensors.pop(HEAD)
        tensors.setdefault(TOKENS, head)
    # Checked before shape_params builds as many layers as a damaged config.json names.
    require(folder, tensors, f"h.{config.num_layers - 1}.ln_1.weight")
    expected = {
        theirs(path): matrix_shape(ours.shape)
        for path, ours in jax.tree.leaves_with_path(shape_params(config))
    }
    for name, shape in expected.items():
        tensor = require(folder, tensors, name)
        if tensor.shape != shape:
            raise InputError(
                f"{tensor.file}: {name} should be {shape} after config.json, "
                f"but is {tensor.shape}."
            )
        if tensor.dtype not in FLOATS:
            raise InputError(
                f"{tensor.file}: {name} has type {tensor.dtype}; weights must be "
                "float64, float32, float16 or bfloat16, not quantized."
            )
    check_no_others(tensors, expected.keys(), config)
    return tensors


def require(folder: Path, tensors: dict[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        known = re.compile(rf"h\.\d+\.|(wte|wpe|ln_f)\.|{re.escape(HEAD)}")
        unknown = [other for other in tensors if not known.match(other)]
        instead = f" (it has {unknown[0]})" if unknown else ""
        raise InputError(
            f"{folder} has no weight {name}{instead}; it is not the whole GPT-2 that "
            "its config.json describes."
        )
    return tensors[name]


def check_no_others(
    tensors: dict[str, Tensor], expected: Collection[str], config: GPT2Config
) -> None:
    others = [
        name
        for name, tensor in tensors.items()
        if name not in expected and not is_mask(name, tensor, config)
    ]
    if others:
        first = min(others, key=natural_order)
        more = f", nor are {len(others) - 1} others" if len(others) > 1 else ""
        raise InputError(
            f"{tensors[first].file}: {first} is not part of the GPT-2 that config.json "
            f"describes{more}; correct config.json, or delete what the model does not "
            "need."
        )


def is_mask(name: str, tensor: Tensor, config: GPT2Config) -> bool:
    """Whether it is a causal mask or its masked score, which old versions saved."""
    found = re.fullmatch(r"h\.(\d+)\.attn\.(bias|masked_bias)", name)
    if found is None or int(found[1]) >= config.num_layers:
        return False
    size = tensor.shape[-1] if tensor.shape else 0
    return tensor.shape == ((1, 1, size, size) if found[2] == "bias" else ())


def natural_order(name: str) -> list[str]:
    """A key that sorts h.2 before h.10."""
    return [part.zfill(9) for part in re.split(r"(\d+)", name)]


def read_float32(tensor: Tensor) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # a float64 that is too large becomes infinite
        return np.asarray(tensor.read()).astype(np.float32, copy=False)


def save_weights(folder: Path, config: GPT2Config, params: Params) -> None:
    """Writes `folder` so that GPT2LMHeadModel.from_pretrained opens it.

    Raises:
      InputError: the process has computed on the paced virtual NPU.
    """
    require_results("an export")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        with_prefix(theirs(path)): array.reshape(matrix_shape(array.shape))
        for path, array in jax.tree.leaves_with_path(params)
    }
    write_atomically(
        folder / "model.safetensors",
        lambda path: save_file(arrays, path, metadata={"format": "pt"}),
    )
    write_json(folder / "config.json", format_config(config))


def theirs(path: tuple[Any, ...]) -> str:
    """Their name of the array at a path of `jax.tree`."""
    return name_of(tuple(key.key for key in path))


def name_of(keys: tuple[Any, ...]) -> str:
    """Their name: h.3.attn.c_attn.weight for blocks, 3, attention, qkv, kernel."""
    *modules, leaf = map(str, keys)
    block = ""
    if modules[0] == "blocks":
        block, modules = f"h.{modules[1]}.", modules[2:]
    return f"{block}{MODULES['.'.join(modules)]}.{LEAVES[leaf]}"


def with_prefix(name: str) -> str:
    """The name in a GPT2LMHeadModel, whose head is not part of its `transformer`."""
    return name if name == HEAD else PREFIX + name


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Their shape: (C, C) where attention's output projection is (H, D, C)."""
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 2 else shape
