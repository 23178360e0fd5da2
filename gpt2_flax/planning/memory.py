"""Memory of a training step, by part, from XLA's own plan of the step.

State is counted from its shapes. What a step takes besides (activations, gradients in
flight, logits) only XLA knows, which reuses memory and schedules for it. It grows by
the same bytes with each layer, so two programs of few layers give that of many.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax

import jax_npu
from gpt2_flax.adapters.saved import Parts
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config, logits_function
from gpt2_flax.training.loop import shape_inputs
from gpt2_flax.training.optimizer import optimizer_of
from gpt2_flax.training.step import make_train_step, state_shapes
from gpt2_flax.training.weight_images import has_images

FEW, MORE = 3, 4  # layers of the compiled programs; the first and last are others


@dataclass(frozen=True)
class Memory:
    """Bytes by part.

    Attributes:
      trained, frozen: parameters.
      gradients: kept between steps.
      optimizer: its state.
      images: of the trained weights, in bf16.
      step: all that a step takes besides: mostly activations.
      checkpoint: on the disk, each.
    """

    trained: int
    frozen: int
    gradients: int
    optimizer: int
    images: int
    step: int
    checkpoint: int

    @property
    def total(self) -> int:
        """In memory while a step runs, without the program itself."""
        state = self.trained + self.frozen + self.gradients + self.optimizer
        return state + self.images + self.step


def memory_of_step(config: TrainConfig, model: GPT2Config, parts: Parts) -> Memory:
    """The memory of a step; compiles at most two programs of few layers."""
    shapes = state_shapes(model, parts, optimizer_of(config), has_images(config))
    trained, gradients, optimizer, frozen, images = map(
        num_bytes,
        (
            shapes.params,
            shapes.grads,
            shapes.opt_state,
            shapes.frozen,
            shapes.images,
        ),
    )
    return Memory(
        trained=trained,
        frozen=frozen,
        gradients=gradients,
        optimizer=optimizer,
        images=images,
        step=step_bytes(config, model, parts),
        checkpoint=trained + optimizer,
    )


def step_bytes(config: TrainConfig, model: GPT2Config, parts: Parts) -> int:
    return of_all_layers(compiled_bytes, config, model, parts)


def of_all_layers(
    measure: Callable[[TrainConfig, GPT2Config, Parts], int],
    config: TrainConfig,
    model: GPT2Config,
    parts: Parts,
) -> int:
    """What `measure` is for a model; for many layers, from what it is for few."""
    if model.num_layers <= MORE:
        return measure(config, model, parts)
    # Patterns of --freeze may name layers: the few have to be there. So frozen layers
    # are taken as trained.
    by_layer = parts if parts.adapter else Parts()
    few, more = (
        measure(config, replace(model, num_layers=layers), by_layer)
        for layers in (FEW, MORE)
    )
    return few + (model.num_layers - FEW) * (more - few)


@cache
def compiled_bytes(config: TrainConfig, model: GPT2Config, parts: Parts) -> int:
    """XLA's plan of a step's memory: temporary arrays, and results beside the state."""
    compiled = lower_step(config, model, parts).compile()
    analysis = compiled.memory_analysis()
    fresh = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return int(analysis.temp_size_in_bytes + fresh)


def lower_step(config: TrainConfig, model: GPT2Config, parts: Parts) -> Any:
    """The step of the run, for shapes alone."""
    step, shapes, tokens, key = step_and_shapes(config, model, parts)
    return step.lower(shapes, tokens, key)


def step_and_shapes(config: TrainConfig, model: GPT2Config, parts: Parts) -> Any:
    logits = logits_function(model, jax_npu.dot_general, parts.adapter, config.remat)
    optimizer = optimizer_of(config)
    step = make_train_step(logits, optimizer, config.accumulate)
    shapes = state_shapes(model, parts, optimizer, has_images(config))
    return step, shapes, *shape_inputs(config)


def num_bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
