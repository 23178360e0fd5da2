"""JAX matmuls on AMD XDNA NPUs, from inside `jit`, with gradients.

jax imports this package in every process that starts a backend, so names are imported
when they are first used.
"""

from importlib import import_module as _import_module
from importlib import metadata as _metadata
from typing import TYPE_CHECKING
from typing import Any as _Any

from jax_npu import plugin as _plugin

if TYPE_CHECKING:
    from jax_npu import checkpoint_policies, energy
    from jax_npu.backend_choice import Backend, backend, backends, resolve_backend
    from jax_npu.early_rounding import round_early
    from jax_npu.explanation.explain import explain
    from jax_npu.offloading import offload
    from jax_npu.optimizer.adamw import AdamW, adamw, apply_gradients
    from jax_npu.placing import placement
    from jax_npu.primitive.weight_image import with_image
    from jax_npu.products import dot_general, einsum, matmul
    from jax_npu.runtime.attached_npus import Device, devices
    from jax_npu.runtime.counters import Counters, counters
    from jax_npu.runtime.npu_events import NpuHealth, npu_events, npu_health
    from jax_npu.runtime.pinned_memory import PinnedMemory, pinned_memory
    from jax_npu.runtime.trace.call_trace import trace_calls

    __version__: str

__all__ = [
    "AdamW",
    "Backend",
    "Counters",
    "Device",
    "NpuHealth",
    "PinnedMemory",
    "__version__",
    "adamw",
    "apply_gradients",
    "backend",
    "backends",
    "checkpoint_policies",
    "counters",
    "devices",
    "dot_general",
    "einsum",
    "energy",
    "explain",
    "matmul",
    "npu_events",
    "npu_health",
    "offload",
    "pinned_memory",
    "placement",
    "resolve_backend",
    "round_early",
    "trace_calls",
    "with_image",
]

_HOMES = {
    "AdamW": "optimizer.adamw",
    "Backend": "backend_choice",
    "Counters": "runtime.counters",
    "Device": "runtime.attached_npus",
    "NpuHealth": "runtime.npu_events",
    "PinnedMemory": "runtime.pinned_memory",
    "adamw": "optimizer.adamw",
    "apply_gradients": "optimizer.adamw",
    "backend": "backend_choice",
    "backends": "backend_choice",
    "counters": "runtime.counters",
    "devices": "runtime.attached_npus",
    "dot_general": "products",
    "einsum": "products",
    "explain": "explanation.explain",
    "matmul": "products",
    "npu_events": "runtime.npu_events",
    "npu_health": "runtime.npu_events",
    "offload": "offloading",
    "pinned_memory": "runtime.pinned_memory",
    "placement": "placing",
    "resolve_backend": "backend_choice",
    "round_early": "early_rounding",
    "trace_calls": "runtime.trace.call_trace",
    "with_image": "primitive.weight_image",
}


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        value: _Any = _metadata.version("jax-npu")
    elif name in ("checkpoint_policies", "energy"):
        return _import_module(f"{__name__}.{name}")
    elif name in _HOMES:
        value = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_plugin.initialize()
