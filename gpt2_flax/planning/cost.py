"""Seconds and joules of a run on machines with an NPU: a forecast, no measurement.

`xdna.training` forecasts a plain step. A step of an adapter has fewer products, one
that computes again has more: both are scaled by the products' FLOPs.
"""

from dataclasses import dataclass, replace

import jax_npu
from gpt2_flax.adapters.saved import Parts
from gpt2_flax.flags.config import TrainConfig
from gpt2_flax.model import GPT2Config
from gpt2_flax.planning.memory import FEW, MORE, of_all_layers, step_and_shapes
from gpt2_flax.training.reporting.forecast import NAMES, sizes_of
from xdna.machines import MACHINES
from xdna.training.forecast import forecast_step


@dataclass(frozen=True)
class Cost:
    """What a step takes, with each product where it ends the step soonest.

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
        seconds, joules = plain_step(config, model, name)
        scaled = None if joules is None else share * joules
        costs.append(Cost(name, share * seconds, scaled))
    return costs


def plain_step(
    config: TrainConfig, model: GPT2Config, machine: str
) -> tuple[float, float | None]:
    """Seconds and joules of a plain step; of many layers, from models of few."""
    sizes = config.batch_size, config.seq_len, MACHINES[machine]
    if model.num_layers <= MORE:
        way = forecast_step(sizes_of(model), *sizes).ways["auto"]
        joules = way.joules.expected if way.joules else None
        return way.seconds.expected, joules
    (few, joules_of_few), (more, joules_of_more) = (
        plain_step(config, replace(model, num_layers=layers), machine)
        for layers in (FEW, MORE)
    )
    others = model.num_layers - FEW
    joules = None
    if joules_of_few is not None and joules_of_more is not None:
        joules = joules_of_few + others * (joules_of_more - joules_of_few)
    return few + others * (more - few), joules


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
    return of_all_layers(traced_flops, config, model, parts)


def traced_flops(config: TrainConfig, model: GPT2Config, parts: Parts) -> int:
    step, *shapes = step_and_shapes(config, model, parts)
    return jax_npu.explain(step, *shapes).flops
