"""JAX matmuls on AMD XDNA NPUs, from inside `jit`, with gradients."""

from importlib import metadata as _metadata

from jax_npu import checkpoint_policies
from jax_npu.backend_choice import Backend, backend, backends, resolve_backend
from jax_npu.explanation import explain
from jax_npu.products import dot_general, einsum, matmul

__all__ = [
    "Backend",
    "__version__",
    "backend",
    "backends",
    "checkpoint_policies",
    "dot_general",
    "einsum",
    "explain",
    "matmul",
    "resolve_backend",
]

__version__ = _metadata.version("jax-npu")
