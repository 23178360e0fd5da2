"""The events of an NPU in this process, and whether its results are still trusted."""

import ctypes
import json
from dataclasses import dataclass

from jax_npu.runtime import extension


@dataclass(frozen=True)
class NpuHealth:
    """An NPU that this process has computed on, real or virtual.

    A new context on it first computes two products whose results are known. If a result
    is wrong, every following one is checked, until 256 in a row were right. Four
    mistakes before that make the NPU unhealthy: `problem` is then the reason, and
    the host computes all later products; with `$JAX_NPU_STRICT=1` they are errors.
    """

    problem: str  # "" while products are computed on it
    last_mistake: str  # the last wrong result that a check found
    self_tests: int
    self_test_problem: str  # of the last self-test, "" if it passed
    arithmetic: (
        str  # as the self-test showed it: "f32", "bfp16", "bfp16_floor" or "other"
    )
    self_test_ms: float


def npu_health() -> dict[str, NpuHealth]:
    """The health of every NPU that was used in this process, by backend.

    Raises:
      OSError: if the extension cannot be loaded.
    """
    function = extension.load().jax_npu_health
    function.restype = ctypes.c_char_p
    return {one.pop("backend"): NpuHealth(**one) for one in json.loads(function())}


def npu_events() -> dict[str, int]:
    """Counts of this process, of the backends `npu` and `sim`.

    `products` asked for, `runs` of the array that they needed, `commands` of one or
    several runs submitted, `chained_runs` that followed another one in a command and
    so did not wait for the host, results checked (`checks`), attempts after a failure
    of the device (`retries`), results found wrong (`mismatches`, with those of
    self-tests), products that the host computed instead (`host_products`), runs given
    up with an error (`failures`), `self_tests` of new contexts, `failed_self_tests`,
    NPUs that were wrong too often and compute nothing more (`unhealthy`; see
    `npu_health`), products whose results are NaN because the virtual NPU is paced
    (`stand_ins`).

    Raises:
      OSError: if the extension cannot be loaded.
    """
    function = extension.load().jax_npu_events
    function.restype = ctypes.c_char_p
    counts: dict[str, int] = json.loads(function())
    return counts
