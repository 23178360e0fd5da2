"""Why an array is updated by optax's operations, and not in one pass."""

import functools
import sys
from typing import Any

import jax
import numpy as np


def reason_of_arrays(param: Any, *others: Any) -> str | None:
    """The reason that is in the types of a parameter, its gradient and moments."""
    for array in (param, *others):
        dtype = getattr(array, "dtype", None)
        if dtype != np.float32:
            return f"an array is of {dtype or type(array).__name__}, not float32"
        if array.shape != param.shape:
            return f"a parameter of shape {param.shape} meets one of {array.shape}"
    return None


def reason_of_place(param: Any) -> str | None:
    """The reason that is in where a parameter lies, if it is not abstract."""
    if not isinstance(param, jax.Array) or isinstance(param, jax.core.Tracer):
        return None
    devices = param.devices()
    platform = next(iter(devices)).platform
    if platform != "cpu":
        return f"an array is on {platform}, not on a CPU"
    return SEVERAL_DEVICES if len(devices) > 1 else None


SEVERAL_DEVICES = "a program is of several devices"


@functools.cache
def say_once(reason: str) -> None:
    """Says on stderr, once a process, that optax takes over."""
    print(f"jax-npu: adamw is left to optax where {reason}", file=sys.stderr)
