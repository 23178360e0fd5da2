"""The run folder: `config.json`, `tokenizer/`, `metrics.jsonl`, `loss.png`,
`checkpoints/`.

`config.json` marks a folder as a run; nothing but these is ever touched in it, and the
folders of --track.
"""

import json
import shlex
import shutil
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import SingleDeviceSharding
from orbax.checkpoint.checkpoint_managers import PreservationPolicy

from gpt2_flax.backend import require_results
from gpt2_flax.errors import InputError
from gpt2_flax.files import write_json
from gpt2_flax.interrupts import interrupts_deferred
from jax_npu.files import partial_files, write_atomically, write_folder_atomically

RECORD = "config.json"
PROGRAM = "gpt2_flax"  # the value that marks a config.json as ours
TOKENIZER = "tokenizer"  # its folder
SOURCE = "source"  # settings of the weights that training began with, for exports
FROZEN = "frozen.safetensors"  # the parameters that no step changes
CONTENTS = (
    *("metrics.jsonl", "loss.png", "checkpoints", "tensorboard", "wandb"),
    *(TOKENIZER, SOURCE, FROZEN),
    RECORD,
)
CHECKSUMS = "checksums"  # an item of each checkpoint: the CRC-32 of every other item
CHECKPOINTS_KEPT = 2  # if the newest is damaged, a run goes on from the one before


def read_run(out: Path) -> dict[str, Any]:
    """The content of `config.json` in the run folder `out`."""
    record = find_run(out)
    if record is None:
        found = ", ".join(shlex.quote(str(folder)) for folder in runs_here())
        hint = f"such as {found}" if found else "which gpt2-flax train makes"
        raise InputError(f"{out} holds no run; give the --out of one, {hint}.")
    if missing := {"train", "model", "text_sha256"} - record.keys():
        raise InputError(
            f"{out / 'config.json'} is damaged, without {', '.join(sorted(missing))}. "
            "Restore it, or give another --out."
        )
    return record


def runs_here() -> list[Path]:
    """The newest three run folders below this one, and in runs/."""
    records = [*Path().glob(f"*/{RECORD}"), *Path().glob(f"runs/*/{RECORD}")]
    folders = sorted((path.parent for path in records), key=newest_first)
    found = []
    for folder in folders:
        with suppress(InputError):
            if find_run(folder) is not None:
                found.append(folder)
    return found[:3]


def newest_first(folder: Path) -> float:
    return -(folder / RECORD).stat().st_mtime


def source_settings(out: Path) -> Path | None:
    """The folder with the settings of the weights that the run began with, if any."""
    folder = out / SOURCE
    return folder if folder.is_dir() else None


def require_free(out: Path, overwrite: bool) -> None:
    """Raises InputError unless `create_run` may make `out` a run folder."""
    if find_run(out) is not None:
        if not overwrite:
            raise InputError(
                f"{out} already holds a run; continue it with --resume, "
                "replace it with --overwrite, or give another --out."
            )
    elif out.exists() and not (out.is_dir() and is_empty(out)):
        raise InputError(
            f"--out needs a new or empty folder, or one with a run; {out} is neither, "
            "and --overwrite does not apply to it."
        )


def is_empty(out: Path) -> bool:
    """Whether the folder has nothing but what ends of processes have left of a run."""
    unfinished = partial_files(out / RECORD)
    return all(path in unfinished for path in out.iterdir())


def create_run(out: Path, record: dict[str, Any], overwrite: bool) -> None:
    """Makes `out` a run folder; with `overwrite`, after deleting the run it holds."""
    require_free(out, overwrite)
    if find_run(out) is not None:
        delete_run(out)
    out.mkdir(parents=True, exist_ok=True)
    unfinished = partial_files(out / RECORD)
    write_record(out, {"program": PROGRAM, **record})
    for path in unfinished:
        path.unlink(missing_ok=True)


def keep_tokenizer(out: Path, save: Callable[[Path], None]) -> None:
    """Has `save` write the tokenizer of the run, all of its files or none."""
    write_folder_atomically(out / TOKENIZER, save)


def record_changes(out: Path, step: int, changes: dict[str, tuple[Any, Any]]) -> None:
    """Records in `config.json`, all at once, which flags are others after `step`.

    `changes` has the old and the new value of each.
    """
    record = read_run(out)
    for name, (old, new) in changes.items():
        change = {"after_step": step, "from": old, "to": new}
        record.setdefault(f"{name}_changes", []).append(change)
        record["train"][name] = new
    write_record(out, record)


def write_record(out: Path, record: dict[str, Any]) -> None:
    write_json(out / RECORD, record)


def find_run(out: Path) -> dict[str, Any] | None:
    path = out / RECORD
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as e:
        raise InputError(
            f"{path} is damaged: {e}. Restore it, or give another --out."
        ) from None
    # A config.json of another program, such as transformers, is not a run.
    ours = isinstance(record, dict) and record.get("program") == PROGRAM
    return record if ours else None


def resume_command(out: Path) -> str:
    return f"gpt2-flax train --out {shlex.quote(str(out))} --resume"


def what_is_kept(out: Path) -> str:
    """What is kept after an error, and the command that continues."""
    if saved := latest_step(out):
        kept = f"the checkpoint of step {saved} is kept; to go on"
    else:
        kept = "no step is saved yet; to start again at the first"
    return f"{kept}: {resume_command(out)}"


def how_to_go_on(out: Path) -> str:
    """The same after an error of the NPU, as a sentence."""
    kept = what_is_kept(out)
    without = f"{resume_command(out)} --backend host"
    return f"{kept[0].upper()}{kept[1:]}, or without the NPU: {without}"


def delete_run(out: Path) -> None:
    for name in CONTENTS:  # config.json last: a run half deleted is still a run
        for path in [out / name, *partial_files(out / name)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def append_metrics(out: Path, row: dict[str, float]) -> None:
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def read_metrics(out: Path) -> list[dict[str, float]]:
    path = out / "metrics.jsonl"
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    # A crash can leave the last line cut off, without its newline.
    return [json.loads(line) for line in lines if line.endswith("\n")]


def forget_metrics_after(out: Path, step: int) -> None:
    """Drops the rows after `step`, whose steps a resumed run takes again.

    Before the first step, that is the validation before training, too.
    """
    rows = [row for row in read_metrics(out) if row["step"] <= step and step]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    write_atomically(out / "metrics.jsonl", lambda path: path.write_text(text))


class Kept(PreservationPolicy):  # type: ignore[misc]
    """Which checkpoints stay: the newest ones, and that of the best validation."""

    best_step: int | None = None

    def should_preserve(
        self, checkpoints: Sequence[Any], *, context: Any
    ) -> list[bool]:
        newest = [one.step for one in checkpoints][-CHECKPOINTS_KEPT:]
        return [one.step in (*newest, self.best_step) for one in checkpoints]


def open_checkpoints(out: Path, kept: Kept | None = None) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        preservation_policy=kept or Kept(), enable_async_checkpointing=False
    )
    return ocp.CheckpointManager((out / "checkpoints").absolute(), options=options)


@interrupts_deferred()
def latest_step(out: Path) -> int:
    """The step of the newest checkpoint, 0 if there is none."""
    with open_checkpoints(out) as checkpoints:
        return checkpoints.latest_step() or 0


def save_checkpoint(
    checkpoints: ocp.CheckpointManager, step: int, items: dict[str, Any]
) -> None:
    require_results("a checkpoint")
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    sums = {name: checksum(tree) for name, tree in items.items()}
    args[CHECKSUMS] = ocp.args.JsonSave(sums)
    checkpoints.save(step, args=ocp.args.Composite(**args))


@interrupts_deferred()
def restore_checkpoint(
    out: Path, shapes: dict[str, Any], step: int | None = None
) -> dict[str, Any]:
    """The items of a checkpoint, by default the newest, that are named in `shapes`.

    `shapes` has a tree of jax.ShapeDtypeStruct for each, which may have a sharding; the
    one that the array was saved with does not matter.

    Raises:
      InputError: there is no checkpoint, or it is damaged.
    """
    here = SingleDeviceSharding(jax.local_devices()[0])
    args = {
        name: ocp.args.StandardRestore(jax.tree.map(partial(placed, place=here), tree))
        for name, tree in shapes.items()
    }
    with open_checkpoints(out) as checkpoints:
        step = checkpoints.latest_step() if step is None else step
        if step is None:
            raise InputError(f"{out} has no checkpoint yet; train it first.")
        folder = out / "checkpoints" / str(step)
        if (folder / CHECKSUMS).exists():  # runs from before checksums have none
            args[CHECKSUMS] = ocp.args.JsonRestore()
        try:
            items = dict(checkpoints.restore(step, args=ocp.args.Composite(**args)))
            sums = items.pop(CHECKSUMS, {})
            for name, tree in items.items():
                if name in sums and sums[name] != checksum(tree):
                    raise ValueError(f"{name} has another checksum than was saved")
            return items
        except Exception as e:  # Orbax raises no narrower class for a damaged file
            raise InputError(
                f"{folder} is damaged ({str(e).splitlines()[0][:200]}); delete this "
                "folder to go on from the checkpoint before it."
            ) from e


def placed(shape: Any, place: SingleDeviceSharding) -> jax.ShapeDtypeStruct:
    """The shape with its sharding, or without one, that of a single device."""
    sharding = shape.sharding or place
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)


def checksum(tree: Any) -> int:
    """CRC-32 of all arrays; Orbax itself would not notice one changed bit."""
    crc = 0
    for array in jax.tree.leaves(tree):
        if not getattr(array, "is_fully_addressable", True):  # of several processes
            array = multihost_utils.process_allgather(array, tiled=True)
        crc = zlib.crc32(np.ascontiguousarray(array), crc)
    return crc
