"""Which weights are frozen, and which layers adapted, by transformers' names.

Names are those of a Hugging Face file without its prefix: wte.weight, h.0.ln_1.bias.
"""

import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

from gpt2_flax.errors import InputError
from gpt2_flax.layers.adapter import LINEAR_LAYERS
from gpt2_flax.weights import MODULES, name_of

ALL_LINEAR = "all-linear"  # PEFT's word for every linear layer but the head


def layers_of_targets(targets: Iterable[str]) -> tuple[str, ...]:
    """Our layers that PEFT's `target_modules` mean: names, or ends of them.

    c_proj is both projections, attn.c_proj one of them.

    Raises:
      InputError: a target is no linear layer of GPT-2's blocks.
    """
    found: set[str] = set()
    for target in targets:
        layers = {
            layer
            for layer in LINEAR_LAYERS
            if target == ALL_LINEAR or f".{MODULES[layer]}".endswith(f".{target}")
        }
        if not layers:
            names = ", ".join(MODULES[layer] for layer in LINEAR_LAYERS)
            raise InputError(
                f"an adapter's target must be {ALL_LINEAR} or one of {names}, c_proj, "
                f"got {target!r}."
            )
        found |= layers
    return tuple(layer for layer in LINEAR_LAYERS if layer in found)


def targets_of_layers(layers: Iterable[str]) -> list[str]:
    """The shortest of PEFT's `target_modules` that mean those layers."""
    names = [MODULES[layer] for layer in layers]
    both = {"attn.c_proj", "mlp.c_proj"} <= set(names)
    return sorted(
        {
            name if name.endswith("c_proj") and not both else name.split(".")[-1]
            for name in names
        }
    )


def trained_by_name(
    paths: Iterable[tuple[Any, ...]], freeze: tuple[str, ...], only: tuple[str, ...]
) -> Callable[[tuple[Any, ...]], bool]:
    """Whether a parameter, by its path, is trained: not in `freeze`, if any in `only`.

    A pattern is a shell's, of a whole name or of modules before it: wte, h.[0-5],
    h.*.ln_?, *.bias.

    Raises:
      InputError: a pattern fits no parameter, or they leave none to train.
    """
    names = {path: name_of(path) for path in paths}
    for flag, patterns in {"--freeze": freeze, "--train-only": only}.items():
        for pattern in patterns:
            if not any(fits(name, pattern) for name in names.values()):
                raise InputError(
                    f"{flag} {pattern} fits no weight; names are transformers', such "
                    f"as {', '.join(sorted(names.values())[-3:])}."
                )
    trained = {
        path
        for path, name in names.items()
        if not any(fits(name, pattern) for pattern in freeze)
        and (not only or any(fits(name, pattern) for pattern in only))
    }
    if not trained:
        raise InputError("--freeze leaves no weight to train; freeze less.")
    return lambda path: path in trained


def fits(name: str, pattern: str) -> bool:
    """Whether a pattern fits a name, or some modules at its beginning."""
    parts = name.split(".")
    return any(
        fnmatch.fnmatchcase(".".join(parts[:n]), pattern)
        for n in range(1, len(parts) + 1)
    )
