"""Whether two backends train alike: losses, gradients, the final evaluation.

Both begin with one seed and take the same batches. Products round f32 operands to bf16
on one backend and may not on the other, so results differ; the bounds say by how much
they may.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

import jax_npu
from gpt2_flax.data import Batch, Feed
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.flags.text_choice import train_batch
from gpt2_flax.model import GPT2Config, Params, init_params, logits_function
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.step import (
    initial_state,
    make_train_step,
    make_validate,
    token_loss,
)

# Half a step of bf16, which has 8 significant bits: the largest relative error of
# rounding one operand of a product.
BF16_ROUNDING = 2**-9
# For a loss, which averages over tokens and in which errors of both signs cancel.
LOSS_BOUND = 0.005
# For a gradient's length, over all parameters, and of one array's: it goes through two
# products a layer and more, each of two rounded operands, whose errors add up.
GRADIENT_BOUND = 10 * BF16_ROUNDING
ARRAY_BOUND = 25 * BF16_ROUNDING
# Steps that are compared one by one. Training amplifies differences, so later steps say
# little by themselves; their mean, and the evaluation, depend less on that.
COMPARED_STEPS = 20


@dataclass(frozen=True)
class Trained:
    """What training on one backend gave."""

    gradients: Params  # of the first batch
    losses: list[float]  # by step
    norms: list[float]  # of the gradient, by step
    val_loss: float


class Comparison(NamedTuple):
    what: str
    values: tuple[str, str]  # of both backends
    difference: float  # relative; NaN never agrees
    bound: float

    @property
    def agrees(self) -> bool:
        return self.difference <= self.bound


def train_on(
    backend: str, model: GPT2Config, config: TrainConfig, feed: Feed
) -> Trained:
    """Trains on the backend, from the seed of `config` to its last step."""
    optimizer = optimizer_of(config)
    logits = logits_function(model, jax_npu.dot_general)
    train_step = make_train_step(logits, optimizer)
    losses, norms = [], []

    def batch(step: int) -> Batch:
        return train_batch(feed, config, step)

    with jax_npu.backend(backend):
        params = init_params(model, config.seed)
        gradient = jax.grad(partial(token_loss, logits=logits))
        gradients = jax.device_get(
            jax.jit(jax_npu.round_early(gradient))(params, batch(0))
        )
        state = initial_state(params, optimizer)
        for step in range(config.steps):
            state, loss, norm = train_step(state, batch(step))
            losses.append(float(loss))
            norms.append(float(norm))
        val_loss = make_validate(logits, config, feed)(state.params)
    return Trained(gradients, losses, norms, val_loss)


def compare(one: Trained, other: Trained) -> list[Comparison]:
    """Each quantity that must agree, with `other` as the reference."""
    first = [flat_gradients(trained.gradients) for trained in (one, other)]
    lengths = [np.linalg.norm(np.concatenate(list(f.values()))) for f in first]
    errors = {name: error(first[0][name], first[1][name]) for name in first[1]}
    worst = max(errors, key=lambda name: nan_last(errors[name]))
    whole = error(*(np.concatenate(list(f.values())) for f in first))
    steps = min(len(other.losses), COMPARED_STEPS)
    return [
        Comparison(
            "gradient of the first batch, all of it",
            (f"|g| {lengths[0]:.6f}", f"|g| {lengths[1]:.6f}"),
            whole,
            GRADIENT_BOUND,
        ),
        Comparison(
            f"gradient of the first batch, worst array {worst}",
            tuple(f"|g| {np.linalg.norm(f[worst]):.6f}" for f in first),  # type: ignore[arg-type]
            errors[worst],
            ARRAY_BOUND,
        ),
        of_steps(
            f"losses of {steps} steps",
            one.losses[:steps],
            other.losses[:steps],
            LOSS_BOUND,
        ),
        of_steps(
            f"gradients' norms of {steps} steps",
            one.norms[:steps],
            other.norms[:steps],
            ARRAY_BOUND,
        ),
        of_steps(
            f"mean loss of all {len(other.losses)} steps",
            [float(np.mean(one.losses))],
            [float(np.mean(other.losses))],
            LOSS_BOUND,
        ),
        of_steps("final evaluation", [one.val_loss], [other.val_loss], LOSS_BOUND),
    ]


def of_steps(
    what: str, one: list[float], other: list[float], bound: float
) -> Comparison:
    """The largest relative difference of two series, and the values where it is."""
    differences = np.abs(np.subtract(one, other)) / np.abs(other)
    at = int(np.argmax(np.nan_to_num(differences, nan=np.inf)))
    values = f"{one[at]:.6f}", f"{other[at]:.6f}"
    where = f", step {at + 1}" if len(one) > 1 else ""
    return Comparison(what + where, values, float(differences[at]), bound)


def flat_gradients(gradients: Params) -> dict[str, NDArray[Any]]:
    """Each array as float64 (N,), by its name."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(
            array, np.float64
        ).ravel()
        for path, array in jax.tree.leaves_with_path(gradients)
    }


def error(one: NDArray[Any], other: NDArray[Any]) -> float:
    """|one - other| / |other|; 0 where both are 0."""
    length = np.linalg.norm(other)
    difference = np.linalg.norm(one - other)
    return float(difference / length) if length else float(difference and np.inf)


def nan_last(value: float) -> float:
    return np.inf if np.isnan(value) else value
