"""The times of products on this CPU: measured in seconds, once, and kept.

They are kept in the user's cache under the CPU's model, its instruction set, the cores
that this process may use, and jax-npu's version. As long as the file is there, what is
placed by it is placed alike.
"""

import functools
import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np

from jax_npu.contraction import Spec
from jax_npu.lowering.call import gemm_call
from jax_npu.lowering.settings import Settings
from jax_npu.runtime.cache.folder import cache_folder, write_once
from jax_npu.runtime.extension import host_isa
from jax_npu.runtime.machine import CPU_FILE, ROOT, field_of
from xdna.placement.host_table import HostTable, points
from xdna.placement.product import Sizes

ROUNDS, MIN_SAMPLE_SECONDS = 8, 0.5e-3
MEMORY_BYTES = 128 << 20  # no cache holds it


def measured_table() -> HostTable:
    """The table of this CPU, from the cache or measured now.

    Raises:
      OSError: if the cache cannot be written.
    """
    return _table(_key())


@functools.lru_cache(maxsize=4)
def _table(key: str) -> HostTable:
    path = cache_folder() / f"products-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    path = path.with_suffix(".json")
    try:
        return HostTable.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass  # none yet, or cut off: it is written again
    print(f"jax-npu: measuring products on this CPU, once, for {path}", file=sys.stderr)
    # jax may be tracing in this thread, or lowering.
    with ThreadPoolExecutor(max_workers=1) as thread:
        table = thread.submit(measure).result()
    write_once(path, table.to_json().encode())
    return table


def _key() -> str:
    model, cores = _cpu()
    return "\n".join([model, host_isa(), str(cores), metadata.version("jax-npu")])


def _cpu() -> tuple[str, int]:
    model = field_of(ROOT / CPU_FILE, "model name") or platform.machine()
    return model, len(os.sched_getaffinity(0))


def measure() -> HostTable:
    """Measures all products of a table, of f32 in row-major order."""
    model, cores = _cpu()
    calls = {sizes: _product(sizes) for sizes in points()}
    *seconds, memory = _seconds([*calls.values(), _pass_over_memory()])
    rate = MEMORY_BYTES / memory
    return HostTable(dict(zip(calls, seconds)), rate, model, cores)


def _product(sizes: Sizes) -> Callable[[], object]:
    batch, m, k, n = sizes
    random = np.random.default_rng(0)
    lhs, rhs = (
        jnp.asarray(random.standard_normal(shape, np.float32))
        for shape in ((batch, m, k), (batch, k, n))
    )

    def multiply(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return gemm_call(
            lhs,
            rhs,
            spec=Spec("bmk", "bkn", "bmn"),
            out_dtype=jnp.float32,
            passes=1,
            backend="host",
            constant=(False, False),
            settings=Settings(host_isa=host_isa(), small_products="call"),
        )

    compiled = jax.jit(multiply)
    return lambda: compiled(lhs, rhs)


def _pass_over_memory() -> Callable[[], object]:
    numbers = jnp.ones(MEMORY_BYTES // 4, jnp.float32)
    total = jax.jit(jnp.sum)
    return lambda: total(numbers)


def _seconds(calls: Sequence[Callable[[], object]]) -> list[float]:
    """The shortest of some samples of each call.

    They are taken round by round, so that what else the machine does for a while does
    not hit all samples of a call.
    """
    for call in calls:
        _sample(call, 1)  # compiles
    times = [max(1, round(MIN_SAMPLE_SECONDS / _sample(call, 1))) for call in calls]
    rounds = [
        [_sample(call, count) for call, count in zip(calls, times)]
        for _ in range(ROUNDS)
    ]
    return [min(samples) for samples in zip(*rounds)]


def _sample(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        jax.block_until_ready(call())
    return (time.perf_counter() - start) / times
