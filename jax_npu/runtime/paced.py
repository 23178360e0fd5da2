"""The paced virtual NPU: its runs take the chip's time, and its results are stand-ins.

It shows what a step would take on a machine with the NPU: the host does all of its work
and waits as long as the chip would have it wait. Nothing is computed; results are NaN.
"""

import functools
import sys

from jax_npu.runtime.environment import SIM_PACED
from jax_npu.runtime.npu_events import npu_events
from jax_npu.runtime.target import PACED, is_paced


def require_results(what: str, backend: str | None = None) -> None:
    """Requires that results are no stand-ins.

    Args:
      what: needs results, such as "training".
      backend: on which it would compute; by default, what this process has computed so
        far must hold no stand-ins.

    Raises:
      ValueError: if it would compute, or has computed, on the paced virtual NPU.
    """
    if not is_paced():
        return
    if backend == "sim" or (backend is None and npu_events()["stand_ins"]):
        raise ValueError(
            f"{what} needs results, and those of backend sim are stand-ins while "
            f"{SIM_PACED.name} is 1; unset it, or time steps with 'gpt2-flax bench "
            f"--backend {PACED}'"
        )


@functools.cache
def warn_of_stand_ins(what: str) -> None:
    """Says once that results are stand-ins; `what` describes the backend."""
    print(f"jax-npu: backend sim is the {what}; results are NaN", file=sys.stderr)
