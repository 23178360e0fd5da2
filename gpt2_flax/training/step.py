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
from gpt2_flax.data import Split, Tokens, validation_batches
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import LogitsFunction, Params
from gpt2_flax.training.loss import cross_entropy


class State(NamedTuple):
    """What a step reads and overwrites.

    `grads` holds no information: its arrays are memory for the next step's gradients.
    Without them XLA takes new pages in every step, and the kernel clears those.
    """

    params: Params
    opt_state: optax.OptState
    grads: Params | None = None


TrainStep = Callable[[State, Tokens], tuple[State, Array, Array]]
Validate = Callable[[Params], float]


def make_train_step(
    logits: LogitsFunction, optimizer: optax.GradientTransformation
) -> TrainStep:
    """Returns the step: state and tokens (B, T + 1) to the new state, loss and norm.

    The norm is the gradient's before clipping. The old state's memory is reused.
    """

    # keep_unused: no step reads the old gradients, and their memory must be donated.
    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    @jax_npu.round_early
    def train_step(state: State, tokens: Tokens) -> tuple[State, Array, Array]:
        loss, grads = jax.value_and_grad(token_loss)(state.params, tokens, logits)
        params, opt_state = jax_npu.apply_gradients(
            optimizer, grads, state.opt_state, state.params
        )
        kept = None if state.grads is None else grads
        return State(params, opt_state, kept), loss, optax.tree.norm(grads)

    return train_step


def make_validate(
    logits: LogitsFunction, config: TrainConfig, split: Split
) -> Validate:
    """Returns the mean loss over a fixed part of the validation text as a function."""
    loss = jax.jit(partial(token_loss, logits=logits))
    batches = validation_batches(
        split.validation, config.batch_size, config.seq_len, config.eval_batches
    )
    return lambda params: float(np.mean([loss(params, batch) for batch in batches]))


def token_loss(params: Params, tokens: Tokens, logits: LogitsFunction) -> Array:
    """Mean loss of predicting tokens 1 to T of (B, T + 1), each from those before."""
    if len(tokens) == 1:  # XLA:CPU reduces more slowly beside a dimension of one
        tokens = tokens[0]  # (T + 1,)
    inputs, targets = tokens[..., :-1], tokens[..., 1:]  # both (..., T)
    return cross_entropy(logits(params, inputs), targets)


def initial_state(params: Params, optimizer: optax.GradientTransformation) -> State:
    return State(params, optimizer.init(params), zeros_like(params))


def zeros_like(params: Params) -> Params:
    zeros: Params = jax.tree.map(jnp.zeros_like, params)
    return zeros


def saved_items(state: State) -> dict[str, Any]:
    """The items of a checkpoint: all that the next step depends on."""
    return {"params": state.params, "opt_state": state.opt_state}
