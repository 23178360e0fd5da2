"""The training loop: one step after another until the last one, or until a signal.

Every step leaves a row in `metrics.jsonl`. Validations leave another, and a checkpoint;
a value that is not finite ends training before it is written.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from gpt2_flax import run
from gpt2_flax.errors import npu_errors
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.evaluation import CHECKPOINT_MINUTES
from gpt2_flax.flags.text_choice import train_batch
from gpt2_flax.model import Params
from gpt2_flax.training.devices.mesh import place_batch
from gpt2_flax.training.devices.processes import any_process, is_first
from gpt2_flax.training.disk import disk_errors, require_space
from gpt2_flax.training.progress import Row, ask_on_interrupt, show_progress
from gpt2_flax.training.reporting.energy import TrainingEnergy
from gpt2_flax.training.reporting.trackers import open_trackers
from gpt2_flax.training.start import Training
from gpt2_flax.training.step import State, all_params, saved_items
from gpt2_flax.validations import Validations


class DivergedError(Exception):
    """A loss, a gradient or a parameter is NaN or infinite."""


def take_steps(
    training: Training, step: int, state: State, energy: TrainingEnergy
) -> tuple[int, State]:
    """Goes on after `step` to the last step, or to the end of the one a signal hits.

    Returns the last step taken, which is saved, and the state after it. `energy` counts
    the steps.

    Raises:
      DivergedError, NpuError: only steps before the failed one may be saved.
      DiskFullError: the checkpoint before it is kept.
    """
    config = training.config
    kept = run.Kept()
    validations = Validations(run.read_metrics(training.out))
    with (
        run.open_checkpoints(training.out, kept) as checkpoints,
        open_trackers(config, training.out) as track,
        ask_on_interrupt() as interrupted,
        show_progress(step, config, training.flops, energy.joules_per_step) as show,
    ):
        journal = Journal(training.out, checkpoints, [show, track, validations.add])

        def validate(step: int) -> None:
            with npu_errors(f"the validation of step {step}"):
                val_loss = training.validate(all_params(state))
            journal.record({"step": step, "val_loss": val_loss})
            if config.keep_best:
                kept.best_step = validations.best_step

        if config.keep_best:
            kept.best_step = validations.best_step
        if step == 0:
            validate(step)
        while (
            step < config.steps
            and not any_process(interrupted.is_set())
            and not validations.is_enough(config.patience)
        ):
            state, row = take_step(training, step, state)
            step += 1
            energy.count_step()
            journal.record(row)
            is_validated = step % config.eval_every == 0 or step == config.steps
            is_saved = is_validated or any_process(journal.is_checkpoint_due())
            if is_saved:
                energy.pause()
            if is_validated:
                validate(step)
            if is_saved:
                journal.save(step, state)
        energy.pause()
        if checkpoints.latest_step() != step:
            journal.save(step, state)
    return step, state


def take_step(training: Training, step: int, state: State) -> tuple[State, Row]:
    """The step after `step`; returns the new state and the row of its metrics."""
    config = training.config
    batch = train_batch(training.feed, config, step)
    # The old state is donated. The new one is whole once its loss is there: float()
    # waits for the whole step, and raises what failed in it.
    with npu_errors(f"step {step + 1}"):
        key = dropout_key(config, step)
        rows = place_batch(batch, training.mesh)
        state, loss, norm = training.train_step(state, rows, key)
        row = {"step": step + 1, "loss": float(loss), "grad_norm": float(norm)}
    return state, row


def dropout_key(config: TrainConfig, step: int) -> jax.Array | None:
    """The key of a step's dropout, of nothing but the seed and the step."""
    if config.dropout is None:
        return None
    return jax.random.fold_in(jax.random.key(config.seed), step)


def shape_inputs(config: TrainConfig) -> tuple[Any, Any]:
    """Shapes of what a step takes beside the state: tokens, and a key for dropout."""
    tokens = jax.ShapeDtypeStruct((config.batch_size, config.seq_len + 1), np.int32)
    return tokens, jax.eval_shape(lambda: dropout_key(config, 0))


@jax.jit
def largest_of(params: Params) -> jax.Array:
    """The largest magnitude; NaN if there is one."""
    return jnp.max(jnp.array([jnp.abs(p).max() for p in jax.tree.leaves(params)]))


class Journal:
    """Writes to the run folder what training has reached, if it is finite."""

    def __init__(
        self,
        out: Path,
        checkpoints: ocp.CheckpointManager,
        listeners: Sequence[Callable[[Row], None]],
    ) -> None:
        self._out = out
        self._checkpoints = checkpoints
        self._listeners = listeners
        self._saved_at = time.monotonic()

    def record(self, row: Row) -> None:
        """Appends a row to the metrics, and gives it to the listeners."""
        self._check_finite(row)
        if is_first():
            with disk_errors(self._out):
                run.append_metrics(self._out, row)
        for listener in self._listeners:
            listener(row)

    def save(self, step: int, state: State) -> None:
        """Saves a checkpoint."""
        largest = float(largest_of(state.params))
        self._check_finite({"step": step, "the largest parameter": largest})
        items = saved_items(state)
        require_space(self._out, items)
        with disk_errors(self._out):
            run.save_checkpoint(self._checkpoints, step, items)
        self._saved_at = time.monotonic()

    def is_checkpoint_due(self) -> bool:
        return time.monotonic() - self._saved_at > 60 * CHECKPOINT_MINUTES

    def _check_finite(self, row: Row) -> None:
        for name, value in row.items():
            if not math.isfinite(value):
                saved = self._checkpoints.latest_step()
                kept = f"the checkpoint of step {saved} is" if saved else "nothing is"
                raise DivergedError(
                    f"{name} became {value} in step {row['step']}, so training stopped "
                    f"and {kept} kept. Start over with a lower --lr, and --overwrite "
                    "or another --out."
                )
