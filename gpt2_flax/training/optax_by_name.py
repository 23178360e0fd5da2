"""Optimizers of optax by their names, with the flags that each of them knows."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import optax
import optax.contrib

from gpt2_flax.model import Params

DECAY = "weight_decay"  # scaled by the rate; adafactor's weight_decay_rate is not
MASK = ("mask", "weight_decay_mask")


def optax_by_name(
    name: str,
    schedule: optax.Schedule,
    weight_decay: float,
    mask: Callable[[Params], Params],
    betas: tuple[float, float],
) -> optax.GradientTransformation:
    """The optimizer `name` of optax or optax.contrib.

    One without decay of its own, such as sgd, has it in the gradient (the L2 penalty of
    PyTorch's optimizers); one that cannot leave out vectors shrinks them, too.
    """
    make = getattr(optax, name, None) or getattr(optax.contrib, name)
    known = inspect.signature(make).parameters
    b1, b2 = betas
    of_muon = {"beta": b1, "adam_b1": b1, "adam_b2": b2} if name == "muon" else {}
    given: dict[str, Any] = {"b1": b1, "b2": b2, **of_muon}
    given |= {DECAY: weight_decay} | dict.fromkeys(MASK, mask)
    if name == "muon":
        given["adam_weight_decay"] = weight_decay
        given["muon_weight_dimension_numbers"] = muon_dimensions
    chosen = {key: value for key, value in given.items() if key in known}
    optimizer = make(learning_rate=schedule, **chosen)
    if DECAY not in known:
        optimizer = optax.chain(
            optax.add_decayed_weights(weight_decay, mask), optimizer
        )
    return optimizer


def muon_dimensions(params: Params) -> Any:
    """The inputs and outputs of each kernel; all else is left to Adam, as Muon asks.

    Source: K. Jordan, "Muon" (2024): embeddings, head, vectors are AdamW's.
    """
    dimensions = optax.contrib.MuonDimensionNumbers

    def of(path: tuple[Any, ...], param: Any) -> Any:
        if path[-1].key != "kernel":
            return None
        last = param.ndim - 1  # (in, out), or (H, D, out)
        return dimensions(tuple(range(last)), (last,))

    return jax.tree.map_with_path(of, params)
