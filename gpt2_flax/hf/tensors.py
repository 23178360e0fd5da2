"""The tensors of a Hugging Face folder, by name; values are read one tensor at a time.

Files are looked for in transformers' order. What transformers ignores in silence is an
error here: a second tensor of the same name, or a tensor of a shard that is not in the
index.
"""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from gpt2_flax.errors import InputError
from gpt2_flax.files import read_object, require_file

PREFIX = "transformer."  # GPT2LMHeadModel's names have it, GPT2Model's do not
FILES = ("model.safetensors", "pytorch_model.bin")
FLOATS = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")
# Files that transformers would read in addition to FILES, or before them.
ELSEWHERE = {
    "adapter_config.json": "describes an adapter, which would be added to the weights; "
    "merge it into them (peft's merge_and_unload)",
    "shard-*-model-*-of-*.safetensors": "is a part of a distributed checkpoint; write "
    "the model as a whole (save_pretrained)",
}
LFS_POINTER = b"version https://git-lfs"


class Tensor(NamedTuple):
    file: Path
    dtype: str  # as its file format spells it
    shape: tuple[int, ...]
    read: Callable[[], Any]


def open_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors by name, without the PREFIX that a file may or may not have.

    Raises:
      InputError: a file is missing or damaged, or a tensor has two names.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in open_checkpoint(folder).items():
        short = name.removeprefix(PREFIX)
        if short in tensors:
            raise InputError(
                f"{tensor.file} has both {short} and {PREFIX}{short}, which name the "
                "same weight; delete one of them."
            )
        tensors[short] = tensor
    return tensors


def open_checkpoint(folder: Path) -> dict[str, Tensor]:
    for pattern, what in ELSEWHERE.items():
        for path in folder.glob(pattern):
            raise InputError(f"{path} {what}, or delete it.")
    for name in FILES:
        path, index = folder / name, folder / f"{name}.index.json"
        if os.path.lexists(path):
            return open_file(path)
        if os.path.lexists(index):
            return open_shards(index)
    others = sorted(path.name for path in folder.glob("*") if is_foreign(path))
    raise InputError(
        f"{folder} has neither {' nor '.join(FILES)}, whole or with an index of shards"
        + (f"; {', '.join(others)} cannot be read." if others else ".")
    )


def is_foreign(path: Path) -> bool:
    suffixes = {".h5", ".msgpack", ".safetensors", ".bin", ".gguf", ".onnx", ".ckpt"}
    return path.suffix in suffixes | {".pt", ".pth"}


def open_shards(index: Path) -> dict[str, Tensor]:
    files = shard_of_names(index)
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(files.values())):
        for name, tensor in open_file(index.parent / file).items():
            if files.get(name) != file:
                place = f"in {files[name]}" if name in files else "nowhere"
                raise InputError(
                    f"{tensor.file} holds {name}, which {index} says is {place}; "
                    "get index and shards from one download."
                )
            tensors[name] = tensor
    if absent := sorted(files.keys() - tensors.keys()):
        raise InputError(
            f"{index} says that {absent[0]} is in {files[absent[0]]}, and it is not; "
            "get index and shards from one download."
        )
    return tensors


def shard_of_names(index: Path) -> dict[str, str]:
    """The file name of the shard that holds each tensor, from the index."""
    files = read_object(index).get("weight_map")
    if not isinstance(files, dict) or not files:
        raise InputError(f"{index} should map names to shards in weight_map.")
    for name, file in files.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(
                f"{index} should give a file name for {name}, got {file!r}."
            )
    return files


def open_file(path: Path) -> dict[str, Tensor]:
    require_file(path)
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise InputError(
                f"{path} is a pointer of Git LFS, not the file; run git lfs pull."
            )
    is_safe = path.suffix == ".safetensors"
    return open_safetensors(path) if is_safe else open_pickled(path)


def open_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        file: Any = safe_open(path, framework="flax")  # its methods have no types
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as e:
        raise InputError(f"{path} cannot be read: {e}.") from None
    return {
        name: Tensor(
            path,
            part.get_dtype(),
            tuple(part.get_shape()),
            lambda name=name: file.get_tensor(name),  # type: ignore[misc]
        )
        for name, part in slices.items()
    }


def open_pickled(path: Path) -> dict[str, Tensor]:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"reading {path} needs torch (pip install torch); "
            "model.safetensors is read without it."
        ) from None
    try:
        # mmap leaves a tensor on the disk until it is read; old files cannot be mapped.
        can_map = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=can_map)
    except Exception as e:  # pickle, zipfile and torch each raise their own
        reason = str(e).split("\n")[0][:200]
        raise InputError(f"{path} cannot be read: {reason}.") from e
    if not isinstance(state, dict):
        raise InputError(f"{path} should hold a dict of tensors, not {type(state)}.")
    for name, tensor in state.items():
        if not (isinstance(name, str) and isinstance(tensor, torch.Tensor)):
            raise InputError(
                f"{path} should hold tensors only, and {name!r} is {type(tensor)}; "
                "save the model's state_dict alone."
            )
        if tensor.layout is not torch.strided:
            raise InputError(f"{path}: {name} should be dense, got {tensor.layout}.")
    return {
        name: Tensor(
            path,
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            lambda tensor=tensor: tensor.detach().float().numpy(),  # type: ignore[misc]
        )
        for name, tensor in state.items()
    }
