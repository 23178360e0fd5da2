"""What a run would take on machines with an NPU: one line, which is no measurement."""

from gpt2_flax.model import GPT2Config
from xdna.machines import DEFAULT_MACHINES, MACHINES
from xdna.training.forecast import forecast_step
from xdna.training.models import Gpt2

NAMES = (*DEFAULT_MACHINES.values(), "hx370")  # one of each NPU, one with known watts


def sizes_of(model: GPT2Config) -> Gpt2:
    """The model as forecasts take it."""
    return Gpt2(
        model.num_layers,
        model.num_heads,
        model.embed_dim,
        model.vocab_size,
        model.num_positions,
        model.tied_head,
    )


def describe_forecast(
    model: GPT2Config, batch_size: int, seq_len: int, steps: int
) -> str:
    """The forecast of a run's steps, each product where it ends the step soonest."""
    sizes = sizes_of(model)
    found = []
    for name in NAMES:
        way = forecast_step(sizes, batch_size, seq_len, MACHINES[name]).ways["auto"]
        joules = "joules not published"
        if way.joules is not None:
            joules = f"{steps * way.joules.expected:.3g} J"
        found.append(f"{name} {steps * way.seconds.expected:.3g} s ({joules})")
    return f"forecast of {steps:,} steps, not measured: {', '.join(found)}"
