"""Seconds and joules of a run on machines with an NPU: a forecast, no measurement.

`xdna.training` forecasts a plain step. A step of an adapter has fewer products, one
that computes again has more: both are scaled by the products' FLOPs.
"""

from dataclasses import dataclass, replace

import jax_npu
from gpt2_flax.adapters.saved import Parts
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config
from gpt2_flax.planning.memory import FEW, MORE, by_layer, step_and_shapes
from gpt2_flax.training.reporting.forecast import NAMES, sizes_of
from xdna.machines import MACHINES
from xdna.training.forecast import forecast_step


@dataclass(frozen=True)
class Cost:
    """Of one step, each product where it ends the step soonest.

    Attributes:
      joules: None where the machine's watts are not published.
    """

    machine: str
    seconds: float
    joules: float | None


def costs_of_step(config: TrainConfig, model: GPT2Config, parts: Parts) -> list[Cost]:
    share = flops_of_step(config, model, parts) / flops_of_step(
        plain(config), model, Parts()
    )
    costs = []
    for name in NAMES:
        sizes = sizes_of(model), config.batch_size, config.seq_len
        way = forecast_step(*sizes, MACHINES[name]).ways["auto"]
        joules = None if way.joules is None else share * way.joules.expected
        costs.append(Cost(name, share * way.seconds.expected, joules))
    return costs


def plain(config: TrainConfig) -> TrainConfig:
    """The same step without all that changes its products."""
    return replace(
        config,
        adapter=None,
        lora_rank=None,
        lora_alpha=None,
        lora_targets=(),
        remat="none",
        accumulate=1,
        freeze=(),
        train_only=(),
    )


def flops_of_step(config: TrainConfig, model: GPT2Config, parts: Parts) -> int:
    """FLOPs of the products; of many layers, from programs of few."""
    if model.num_layers <= MORE:
        return traced_flops(config, model, parts)
    few, more = (
        traced_flops(config, replace(model, num_layers=layers), by_layer(parts))
        for layers in (FEW, MORE)
    )
    return few + (model.num_layers - FEW) * (more - few)


def traced_flops(config: TrainConfig, model: GPT2Config, parts: Parts) -> int:
    step, *shapes = step_and_shapes(config, model, parts)
    return jax_npu.explain(step, *shapes).flops
