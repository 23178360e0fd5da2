"""The parameters of a run: what its checkpoint has, and what no step changed.

Frozen parameters are written once, in `frozen.safetensors` of the run's folder.
"""

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gpt2_flax import run
from gpt2_flax.adapters.initial import is_of_adapter, shape_adapted
from gpt2_flax.adapters.merge import merge_adapter
from gpt2_flax.adapters.names import trained_by_name
from gpt2_flax.adapters.parameters import join_params, split_params
from gpt2_flax.checkpoint_choice import LATEST, chosen_step
from gpt2_flax.errors import InputError
from gpt2_flax.layers.adapter import AdapterConfig
from gpt2_flax.model import GPT2Config, Params, shape_params
from jax_npu.files import write_atomically


@dataclass(frozen=True)
class Parts:
    """Which parameters of a model are trained: all, an adapter, or some by name."""

    adapter: AdapterConfig | None = None
    freeze: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()

    def shapes(self, config: GPT2Config) -> Params:
        """All parameters, with a jax.ShapeDtypeStruct for each."""
        shapes = shape_params(config)
        return shape_adapted(shapes, self.adapter) if self.adapter else shapes

    def split(self, params: Params) -> tuple[Params, Params | None]:
        """The parameters that are trained, and the frozen ones, None if there are none.

        Raises:
          InputError: a name is no parameter's, or none is left to train.
        """
        if self.adapter:
            return split_params(params, is_of_adapter)
        if not (self.freeze or self.train_only):
            return params, None
        leaves = jax.tree.leaves_with_path(params)
        paths = [tuple(key.key for key in path) for path, _ in leaves]
        is_trained = trained_by_name(paths, self.freeze, self.train_only)
        trained, frozen = split_params(params, is_trained)
        return trained, frozen or None


def parts_of(record: dict[str, Any]) -> Parts:
    """What a run trains, from its config.json."""
    train, adapter = record["train"], record.get("adapter")
    names = (tuple(train.get(name, ())) for name in ("freeze", "train_only"))
    return Parts(adapter and read_adapter_record(adapter), *names)


def adapter_record(adapter: AdapterConfig | None) -> dict[str, Any] | None:
    return asdict(adapter) if adapter else None


def read_adapter_record(fields: dict[str, Any]) -> AdapterConfig:
    return AdapterConfig(**{**fields, "targets": tuple(fields["targets"])})


def restore_params(
    out: Path, checkpoint: str = LATEST
) -> tuple[GPT2Config, Parts, Params]:
    """The model of a checkpoint in `out`, an adapter's parameters beside it.

    Args:
      checkpoint: as for `chosen_step`.

    Raises:
      InputError: there is no such checkpoint, or a file is damaged.
    """
    record = run.read_run(out)
    config, parts = GPT2Config(**record["model"]), parts_of(record)
    trained, frozen = parts.split(parts.shapes(config))
    step = chosen_step(out, checkpoint)
    params = run.restore_checkpoint(out, {"params": trained}, step)["params"]
    if frozen:
        params = join_params(params, load_frozen(out, frozen))
    return config, parts, params


def merged_params(out: Path, checkpoint: str = LATEST) -> tuple[GPT2Config, Params]:
    """The same as a plain GPT-2, with an adapter merged into it."""
    config, parts, params = restore_params(out, checkpoint)
    return config, jax.tree.map(jnp.asarray, merge_adapter(params, parts.adapter))


def save_frozen(out: Path, frozen: Params) -> None:
    arrays = {
        jax.tree_util.keystr(path): np.asarray(array)
        for path, array in jax.tree.leaves_with_path(frozen)
    }
    sums = {"crc32": str(checksum(arrays))}
    write_atomically(out / run.FROZEN, lambda path: save_file(arrays, path, sums))


def load_frozen(out: Path, shapes: Params) -> Params:
    """The frozen parameters of a run.

    Raises:
      InputError: their file is missing or damaged.
    """
    path = out / run.FROZEN
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            saved = (file.metadata() or {}).get("crc32")
    except (OSError, SafetensorError) as e:
        raise InputError(
            f"{path} cannot be read ({e}); restore it, or start over with another "
            "--out or --overwrite."
        ) from None
    if saved != str(checksum(arrays)):
        raise InputError(
            f"{path} has another checksum than was saved; restore it, or start over "
            "with another --out or --overwrite."
        )
    params: Params = jax.tree.map_with_path(
        lambda at, _: jnp.asarray(arrays[jax.tree_util.keystr(at)]), shapes
    )
    return params


def checksum(arrays: dict[str, Any]) -> int:
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(np.ascontiguousarray(arrays[name]), crc)
    return crc
