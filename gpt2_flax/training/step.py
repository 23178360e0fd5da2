"""One step of training: the loss of a batch, its gradients, and the update.

The step is one jitted function from a state to the next, which is written over it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

import jax_npu
from gpt2_flax.adapters.parameters import join_params
from gpt2_flax.adapters.saved import Parts
from gpt2_flax.data import Feed, Tokens
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config, LogitsFunction, Params
from gpt2_flax.training.loss import mean_loss, num_targets, rows_of
from gpt2_flax.training.weight_images import images_of, with_images


class State(NamedTuple):
    """What a step reads and overwrites.

    `grads` holds no information: its arrays are memory for the next step's gradients.
    Without them XLA takes new pages in every step, and the kernel clears those.
    """

    params: Params  # those that are trained
    opt_state: optax.OptState
    grads: Params | None = None
    frozen: Params | None = None  # the other parameters, which no step changes
    images: Params | None = None  # of `params`, in bf16; see weight_images.py


TrainStep = Callable[..., tuple[State, Array, Array]]
Validate = Callable[[Params], float]


def make_train_step(
    logits: LogitsFunction, optimizer: optax.GradientTransformation, parts: int = 1
) -> TrainStep:
    """Returns the step: state and tokens (B, T + 1) to the new state, loss and norm.

    The norm is the gradient's before clipping. The old state's memory is reused. The
    step also takes a `Batch`, and a key for dropout.

    Args:
      parts: into which a batch is cut. Their gradients are computed one after another
        and added up, so that the activations of one part are in memory at a time.
    """

    # keep_unused: no step reads the old gradients, and their memory must be donated.
    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    @jax_npu.round_early
    def train_step(
        state: State, tokens: Any, key: Array | None = None
    ) -> tuple[State, Array, Array]:
        def loss_of(trained: Params, rows: Any, key: Array | None) -> Array:
            trained = with_images(trained, state.images)
            return token_loss(join_params(trained, state.frozen), rows, logits, key)

        gradients = jax.value_and_grad(loss_of)
        if parts == 1:
            loss, grads = gradients(state.params, tokens, key)
        else:
            loss, grads = accumulate(gradients, state.params, tokens, key, parts)
        updated = update(optimizer, grads, state)
        kept = None if state.grads is None else grads
        new = updated._replace(grads=kept)
        return new, loss, optax.tree.norm(grads)

    return train_step


def update(
    optimizer: optax.GradientTransformation, grads: Params, state: State
) -> State:
    """The state with new parameters, moments and images."""
    old = grads, state.opt_state, state.params
    if state.images is None:
        params, opt_state = jax_npu.apply_gradients(optimizer, *old)
        return state._replace(params=params, opt_state=opt_state)
    assert isinstance(optimizer, jax_npu.AdamW)  # only it has images
    params, opt_state, images = optimizer.apply_with_images(*old, state.images)
    return state._replace(params=params, opt_state=opt_state, images=images)


def accumulate(
    gradients: Callable[..., tuple[Array, Params]],
    params: Params,
    batch: Any,
    key: Array | None,
    parts: int,
) -> tuple[Array, Params]:
    """Loss and gradients of a batch from those of its parts, weighted by targets."""
    total = num_targets(batch)
    each = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)

    def add(sums: tuple[Array, Params], part: tuple[Array, Any]) -> tuple[Any, None]:
        i, rows = part
        part_key = None if key is None else jax.random.fold_in(key, i)
        found = gradients(params, rows, part_key)
        share = num_targets(rows) / total
        return jax.tree.map(lambda s, x: s + share * x, sums, found), None

    zero = jnp.zeros(()), zeros_like(params)
    sums, _ = jax.lax.scan(add, zero, (jnp.arange(parts), each))
    loss, grads = sums
    return loss, grads


def make_validate(
    logits: LogitsFunction,
    config: TrainConfig,
    feed: Feed,
    place: Callable[[Any], Any] = lambda batch: batch,
) -> Validate:
    """Returns the mean loss over a fixed part of the validation text as a function."""
    loss = jax.jit(partial(token_loss, logits=logits))
    batches = feed.validation_batches(config.batch_size, config.eval_batches)
    weights = [np.asarray(num_targets(batch)) for batch in batches]
    return lambda params: float(
        np.average([loss(params, place(batch)) for batch in batches], weights=weights)
    )


def token_loss(
    params: Params,
    tokens: Tokens | Any,
    logits: LogitsFunction,
    key: Array | None = None,
) -> Array:
    """Mean loss of predicting tokens 1 to T of (B, T + 1), each from those before.

    Instead of tokens, it takes a `Batch`, and then the mean over its mask. With `key`,
    the model drops values.
    """
    inputs, targets, mask, segments = rows_of(tokens)
    return mean_loss(logits(params, inputs, segments, key), targets, mask)


def initial_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    frozen: Params | None = None,
    has_images: bool = False,
) -> State:
    images = images_of(params) if has_images else None
    return State(params, optimizer.init(params), zeros_like(params), frozen, images)


def state_shapes(
    model: GPT2Config,
    parts: Parts,
    optimizer: optax.GradientTransformation,
    has_images: bool = False,
) -> State:
    """The state before step 1, with a jax.ShapeDtypeStruct for each array."""
    trained, frozen = parts.split(parts.shapes(model))
    shapes: State = jax.eval_shape(
        lambda trained, frozen: initial_state(trained, optimizer, frozen, has_images),
        trained,
        frozen,
    )
    return shapes


def all_params(state: State) -> Params:
    """The parameters of the model: trained and frozen ones."""
    return join_params(state.params, state.frozen)


def zeros_like(params: Params) -> Params:
    zeros: Params = jax.tree.map(jnp.zeros_like, params)
    return zeros


def saved_items(state: State) -> dict[str, Any]:
    """The items of a checkpoint: all that the next step depends on, and that changes.

    Frozen parameters are saved once, at the start of a run; images are made again.
    """
    return {"params": state.params, "opt_state": state.opt_state}
