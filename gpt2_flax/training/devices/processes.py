"""Several processes that share a run: `jax.distributed`, started by the environment.

Every process trains, and the first one alone prints, and writes all but the arrays of
checkpoints. The run folder is one that all of them see.
"""

import os
import sys
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from gpt2_flax.errors import InputError

COORDINATOR = "JAX_COORDINATOR_ADDRESS"  # jax.distributed reads it, too
COUNT, INDEX = "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def start_processes() -> None:
    """Connects to the other processes if $JAX_COORDINATOR_ADDRESS is set.

    Raises:
      InputError: the number of processes or of this one is no number.
    """
    if not os.environ.get(COORDINATOR) or jax.distributed.is_initialized():
        return
    jax.distributed.initialize(num_processes=number(COUNT), process_id=number(INDEX))
    if not is_first():
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def number(name: str) -> int | None:
    """None where jax finds it out by itself, as under Slurm or Open MPI."""
    text = os.environ.get(name)
    if text is not None and not text.isdecimal():
        raise InputError(f"${name} must be a number, got {text!r}.")
    return None if text is None else int(text)


def is_first() -> bool:
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def any_process(holds: bool) -> bool:
    """Whether it holds in any process, which all of them learn at the same step."""
    if jax.process_count() == 1:
        return holds
    return bool(multihost_utils.process_allgather(np.array(holds)).any())


def whole(tree: Any) -> Any:
    """The tree's arrays as every process may read them, wherever their parts are."""
    if jax.process_count() == 1:
        return tree
    return multihost_utils.process_allgather(tree, tiled=True)
