"""JAX matmuls on AMD XDNA NPUs, from inside `jit`, with gradients."""

from importlib import metadata as _metadata

from jax_npu import checkpoint_policies
from jax_npu import plugin as _plugin
from jax_npu.backend_choice import Backend, backend, backends, resolve_backend
from jax_npu.early_rounding import round_early
from jax_npu.explanation import explain
from jax_npu.offloading import offload
from jax_npu.products import dot_general, einsum, matmul
from jax_npu.runtime.attached_npus import Device, devices
from jax_npu.runtime.call_trace import trace_calls
from jax_npu.runtime.counters import Counters, counters
from jax_npu.runtime.npu_events import NpuHealth, npu_events, npu_health

__all__ = [
    "Backend",
    "Counters",
    "Device",
    "NpuHealth",
    "__version__",
    "backend",
    "backends",
    "checkpoint_policies",
    "counters",
    "devices",
    "dot_general",
    "einsum",
    "explain",
    "matmul",
    "npu_events",
    "npu_health",
    "offload",
    "resolve_backend",
    "round_early",
    "trace_calls",
]

__version__ = _metadata.version("jax-npu")

_plugin.initialize()
