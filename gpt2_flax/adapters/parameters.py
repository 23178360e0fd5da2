"""Parameters as two trees: those that are trained, and those that are frozen.

Only the first is differentiated and has optimizer state; the model gets both joined.
"""

from collections.abc import Callable
from typing import Any

from gpt2_flax.model import Params

Path = tuple[Any, ...]  # keys from the root to an array


def split_params(
    params: Params, is_trained: Callable[[Path], bool]
) -> tuple[Params, Params]:
    """The arrays for whose path `is_trained` holds, and the others; without the rest.

    A path is the keys from the root, such as ("blocks", 0, "mlp", "fc", "kernel").
    """
    return _part(params, is_trained, True, ()), _part(params, is_trained, False, ())


def join_params(trained: Params, frozen: Params | None) -> Params:
    """What `split_params` has split; `trained` itself where nothing is frozen."""
    if not frozen:
        return trained
    both = {**frozen, **trained}
    for key in trained.keys() & frozen.keys():
        both[key] = join_params(trained[key], frozen[key])
    return both


def _part(
    params: Params, is_trained: Callable[[Path], bool], wanted: bool, above: Path
) -> Params:
    part = {}
    for key, value in params.items():
        path = (*above, key)
        if isinstance(value, dict):
            if inner := _part(value, is_trained, wanted, path):
                part[key] = inner
        elif is_trained(path) == wanted:
            part[key] = value
    return part
