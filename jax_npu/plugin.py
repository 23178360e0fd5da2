"""What jax calls in every process that starts a backend: jax-npu as a plugin of jax.

`pyproject.toml` names this module in the entry points of the group `jax_plugins`, so
programs from elsewhere find the custom calls, and `JAX_NPU_OFFLOAD=1` offloads a
program that never imports jax_npu. `import jax_npu` calls it too.
"""

from jax_npu.backend_choice import resolve_backend
from jax_npu.lowering import dot_general, partitioner
from jax_npu.lowering.offload_choice import Choice, Process
from jax_npu.runtime import extension
from jax_npu.runtime.environment import OFFLOAD


def initialize() -> None:
    """Registers the custom calls with XLA and, where asked, offloads the process.

    Raises:
      ValueError: if `$JAX_NPU_OFFLOAD` has another value than its own.
    """
    extension.register_all()
    for backend in extension.GEMM_BACKENDS:
        partitioner.register_for(backend)
    if OFFLOAD.choose() == "1":
        dot_general.install()
        # A backend that cannot run here is an error of the first product.
        Process.choice = lambda: Choice(resolve_backend())
