"""Folders with the right tensors in other files, in several, or in none."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from .folder_variants import HEAD, WIDTH, WTE, Variant, random_arrays

ARRAYS = random_arrays()
OTHERS = {name: -array for name, array in ARRAYS.items()}
NAMES = sorted(ARRAYS)
HALVES = [{n: ARRAYS[n] for n in part} for part in (NAMES[::2], NAMES[1::2])]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def containers() -> dict[str, Variant]:
    variants = {
        **pickles(),
        **several_files(),
        **damaged_files(),
        **refused_files(),
    }
    return {name: Variant(*variant) for name, variant in variants.items()}


def pickles() -> dict[str, tuple[Any, ...]]:
    return {
        "pytorch_model.bin": (pickled,),
        "pytorch_model.bin of old": (
            lambda f: pickled(f, _use_new_zipfile_serialization=False),
        ),
        "pytorch_model.bin, head and wte one": (head_shares_memory,),
        "pytorch_model.bin, other head": (
            lambda f: pickled(f, {**ARRAYS, HEAD: ARRAYS[WTE][::-1].copy()}),
        ),
        "pytorch_model.bin in pieces": (sharded_pickles,),
        "pytorch_model.bin of a list": (
            lambda f: torch.save([1, 2], f / "pytorch_model.bin"),
        ),
        "pytorch_model.bin of a checkpoint": (
            lambda f: torch.save(
                {"model": tensors(ARRAYS), "step": 3}, f / "pytorch_model.bin"
            ),
        ),
        "pytorch_model.bin torn": (named("pytorch_model.bin", b"PK\x03\x04torn"),),
    }


def several_files() -> dict[str, tuple[Any, ...]]:
    extra = {"h.7.ln_1.bias": np.ones(WIDTH, np.float32)}
    return {
        "both, the same": (both(safe, pickled),),
        "both, other": (both(safe, lambda f: pickled(f, OTHERS)),),
        "safetensors and shards": (both(lambda f: sharded(f, [OTHERS]), safe),),
        "shards": (sharded,),
        "shards and other pickle": (both(sharded, lambda f: pickled(f, OTHERS)),),
        "a shard missing": (shard_missing,),
        "a shard with a tensor more": (
            lambda f: sharded(f, [HALVES[0], {**HALVES[1], **extra}]),
        ),
    }


def damaged_files() -> dict[str, tuple[Any, ...]]:
    return {
        "index of no object": (named("model.safetensors.index.json", b"[]"),),
        "index without weight_map": (named("model.safetensors.index.json", b"{}"),),
        "nothing": (lambda folder: None,),
        "TensorFlow's": (named("tf_model.h5"),),
        "Flax's": (named("flax_model.msgpack"),),
        "LFS pointer": (named("model.safetensors", POINTER),),
        "LFS pointer, pickled": (named("pytorch_model.bin", POINTER),),
        "empty file": (named("model.safetensors"),),
        "cut in the header": (lambda f: cut(f, 100),),
        "cut in the tensors": (lambda f: cut(f, -8),),
    }


def refused_files() -> dict[str, tuple[Any, ...]]:
    """What transformers reads, or reads something else for, and we refuse."""
    half_of_other = dict.fromkeys(HALVES[0], "model-1-of-2.safetensors")
    return {
        "a tensor in two shards": (
            lambda f: sharded(f, [ARRAYS, {WTE: OTHERS[WTE]}]),
            "wte.weight, which .* says is in",
        ),
        "index that names other shards": (
            lambda f: sharded(f, HALVES, half_of_other),
            "which .* says is in model-1-of-2",
        ),
        "index that names more": (
            lambda f: sharded(f, HALVES, {"more": "model-0-of-2.safetensors"}),
            "says that more is in",
        ),
        "shard in another folder": (
            lambda f: sharded(f, HALVES, {WTE: "../model-0-of-2.safetensors"}),
            "should give a file name",
        ),
        "a folder for model.safetensors": (
            both(lambda f: (f / "model.safetensors").mkdir(), pickled),
            "model.safetensors is not a file",
        ),
        "a link to nothing": (
            both(lambda f: (f / "model.safetensors").symlink_to("gone"), pickled),
            "model.safetensors is not a file",
        ),
        "an adapter": (both(safe, named("adapter_config.json", b"{}")), "an adapter"),
    }


def tensors(part: dict[str, Any]) -> dict[str, Any]:
    return {name: torch.from_numpy(array.copy()) for name, array in part.items()}


def safe(folder: Any, part: Any = ARRAYS, name: str = "model.safetensors") -> None:
    save_file(part, folder / name, metadata={"format": "pt"})


def pickled(folder: Any, part: Any = ARRAYS, **options: Any) -> None:
    torch.save(tensors(part), folder / "pytorch_model.bin", **options)


def sharded(folder: Any, parts: Any = HALVES, index: Any = None) -> None:
    """Writes a file of each part; `index` changes what the index says of names."""
    shards = [f"model-{i}-of-{len(parts)}.safetensors" for i in range(len(parts))]
    for part, shard in zip(parts, shards):
        safe(folder, part, shard)
    names = {name: shard for part, shard in zip(parts, shards) for name in part}
    text = json.dumps({"metadata": {}, "weight_map": {**names, **(index or {})}})
    (folder / "model.safetensors.index.json").write_text(text)


def sharded_pickles(folder: Any) -> None:
    for part, shard in zip(HALVES, ("a.bin", "b.bin")):
        torch.save(tensors(part), folder / shard)
    names = {n: f for part, f in zip(HALVES, ("a.bin", "b.bin")) for n in part}
    text = json.dumps({"metadata": {}, "weight_map": names})
    (folder / "pytorch_model.bin.index.json").write_text(text)


def head_shares_memory(folder: Any) -> None:
    state = tensors(ARRAYS)
    state[HEAD] = state[WTE]
    torch.save(state, folder / "pytorch_model.bin")


def shard_missing(folder: Any) -> None:
    sharded(folder)
    (folder / "model-1-of-2.safetensors").unlink()


def cut(folder: Any, keep: int) -> None:
    """Keeps the first `keep` bytes of the file, or all but the last -keep."""
    safe(folder)
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:keep])


def named(name: str, content: bytes = b"") -> Callable[..., None]:
    return lambda folder: (folder / name).write_bytes(content)


def both(*writers: Callable[..., None]) -> Callable[..., None]:
    return lambda folder: [write(folder) for write in writers]
