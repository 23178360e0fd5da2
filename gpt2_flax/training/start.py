"""The start of a run: what it is made of, and its state before the next step.

A resumed run is checked against the record in its folder, so that it goes on with the
text, the weights and the shape that it began with.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import optax
from jax.sharding import Mesh

from gpt2_flax import run
from gpt2_flax.adapters.saved import (
    Parts,
    adapter_record,
    load_frozen,
    save_frozen,
)
from gpt2_flax.data import Feed
from gpt2_flax.errors import InputError
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.field import flag_name
from gpt2_flax.flags.resume import CHANGEABLE, saved_config
from gpt2_flax.hf.hub import folder_of
from gpt2_flax.hf.settings import keep_settings
from gpt2_flax.model import GPT2Config, LogitsFunction, Params
from gpt2_flax.tokenizers import Tokenizer
from gpt2_flax.training.devices.mesh import place_state, placed_shapes
from gpt2_flax.training.devices.processes import is_first, wait_for_all
from gpt2_flax.training.step import (
    State,
    TrainStep,
    Validate,
    initial_state,
    saved_items,
    state_shapes,
    zeros_like,
)
from gpt2_flax.training.trained import first_params
from gpt2_flax.training.weight_images import has_images, images_of

Existing = Literal["refuse", "resume", "overwrite"]  # what to do with a run in --out


@dataclass(frozen=True)
class Training:
    """What stays the same from the first step of a run to its last."""

    config: TrainConfig
    model: GPT2Config
    out: Path  # the run folder
    feed: Feed
    tokenizer: Tokenizer
    logits: LogitsFunction
    optimizer: optax.GradientTransformation
    train_step: TrainStep
    validate: Validate
    mesh: Mesh | None = None  # None: one device
    parts: Parts = field(default_factory=Parts)  # of the model that are trained
    flops: int = 0  # of the products of a step; 0: not known


def start(training: Training, existing: Existing) -> tuple[int, State]:
    """Returns the number of steps already taken in `out`, and the state after them."""
    if existing == "resume":
        return resume(training)
    state = begin(training, overwrite=existing == "overwrite")
    return 0, place_state(state, training.mesh)


def begin(training: Training, overwrite: bool) -> State:
    """Makes `out` a run folder, last of all; returns the state before step 1."""
    config, model, parts = training.config, training.model, training.parts
    params, weights_sha256 = first_params(config, model, parts)
    state = split_state(training, params)
    record = {
        "train": asdict(config),
        "model": asdict(model),
        "adapter": adapter_record(parts.adapter),
        "text_sha256": training.feed.sha256,
        "text_keys": list(training.feed.keys),
        "tokenizer": training.tokenizer.fingerprint,
        "weights_sha256": weights_sha256,
    }
    wait_for_all("the folder is free")
    if is_first():
        create_folder(training, state, record, overwrite)
    wait_for_all("the run is begun")
    return state


def create_folder(
    training: Training, state: State, record: dict[str, Any], overwrite: bool
) -> None:
    """Whenever the process ends, what is in `out` can be resumed, or begun again."""
    run.create_run(training.out, record, overwrite)
    run.keep_tokenizer(training.out, training.tokenizer.save)
    keep_what_stays(training, state)


def split_state(training: Training, params: Params) -> State:
    trained, frozen = training.parts.split(params)
    return initial_state(
        trained, training.optimizer, frozen, has_images(training.config)
    )


def keep_what_stays(training: Training, state: State) -> None:
    """Keeps in the run what no step changes, before its first checkpoint."""
    if state.frozen:
        save_frozen(training.out, state.frozen)
    if training.config.weights:
        source = folder_of(training.config.weights)
        if run.find_run(source):
            source = run.source_settings(source) or source / run.SOURCE
        keep_settings(source, training.out / run.SOURCE)


def resume(training: Training) -> tuple[int, State]:
    """Goes back to the newest checkpoint, or to the start where there is none."""
    record = run.read_run(training.out)
    if record["text_sha256"] != training.feed.sha256:
        raise InputError(
            "--resume needs the text that the run began with, and "
            f"{', '.join(training.config.data)} is another now; restore it, or start "
            "over with another --out or --overwrite."
        )
    step = run.latest_step(training.out)
    if step > training.config.steps:
        raise InputError(
            f"{training.out} has taken {step} steps, so --steps must be at least "
            f"{step}, got {training.config.steps}."
        )
    state = restored_state(training) if step else first_state_again(training, record)
    if is_first():
        run.forget_metrics_after(training.out, step)
        record_changes(training, step, saved_config(record["train"]))
    wait_for_all("the run is resumed")
    return step, state


def restored_state(training: Training) -> State:
    shapes = shape_state(training)
    items = run.restore_checkpoint(
        training.out, saved_items(placed_shapes(shapes, training.mesh))
    )
    frozen = load_frozen(training.out, shapes.frozen) if shapes.frozen else None
    rest = State({}, {}, zeros_like(shapes.params), frozen)
    rest = place_state(rest, training.mesh)
    images = images_of(items["params"]) if has_images(training.config) else None
    return State(**items, grads=rest.grads, frozen=rest.frozen, images=images)


def shape_state(training: Training) -> State:
    """The state with a jax.ShapeDtypeStruct for each array."""
    model, parts, optimizer = training.model, training.parts, training.optimizer
    return state_shapes(model, parts, optimizer, has_images(training.config))


def first_state_again(training: Training, record: dict[str, Any]) -> State:
    config, model, parts = training.config, training.model, training.parts
    params, weights_sha256 = first_params(config, model, parts)
    # Runs older than this field have no hash to compare with.
    if weights_sha256 != record.get("weights_sha256", weights_sha256):
        raise InputError(
            "--resume, before the first checkpoint, needs the weights that the run "
            f"began with, and {training.config.weights} holds others now; restore "
            "them, or start over with another --out or --overwrite."
        )
    state = split_state(training, params)
    if is_first():
        keep_what_stays(training, state)
    return place_state(state, training.mesh)


def record_changes(training: Training, step: int, old: TrainConfig) -> None:
    """Notes in the run's record, and on stdout, what is not as in `old` now."""
    changes = {}
    for name, effect in CHANGEABLE.items():
        before, now = getattr(old, name), getattr(training.config, name)
        # A backend that was not chosen is none that changed.
        if now != before and not (name == "backend" and now is None):
            changes[name] = before, now
            print(
                f"After step {step}, {flag_name(name)} is {now}, no longer {before}: "
                f"{effect}."
            )
    if changes:
        run.record_changes(training.out, step, changes)
