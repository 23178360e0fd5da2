"""What jax calls in every process that starts a backend: jax-npu as a plugin of jax.

`pyproject.toml` names this module in the entry points of the group `jax_plugins`, so
programs from elsewhere find the custom calls, and `JAX_NPU_OFFLOAD=1` offloads a
program that never imports jax_npu. `import jax_npu` calls it too. It takes
milliseconds: what a process may never need is imported when it does.
"""

import functools
import sys
from typing import Any

from jax_npu.jax_private import register_partitioner
from jax_npu.runtime import extension
from jax_npu.runtime.environment import OFFLOAD, unknown_variables


@functools.cache
def initialize() -> None:
    """Registers the custom calls with XLA and, where asked, offloads the process.

    jax runs on whatever goes wrong here, which stderr says in one line. So it does of
    variables that nobody reads, as a misspelt one is.
    """
    for name, meant in unknown_variables().items():
        hint = f"did you mean {meant}?" if meant else "unset it"
        print(
            f"jax-npu: no environment variable is called {name}; {hint}",
            file=sys.stderr,
        )
    try:
        extension.register_all()
        for target in extension.GEMM_TARGETS:
            partition_target = functools.partial(_partition, target)
            register_partitioner(target, partition_target, _infer_sharding)
        if OFFLOAD.choose() == "1":
            from jax_npu.offloading import offload_process

            offload_process()
    except Exception as error:
        message = " ".join(str(error).split())
        print(f"jax-npu: products are not offloaded: {message}", file=sys.stderr)


def _partition(*arguments: Any) -> Any:
    from jax_npu.lowering.mesh.partitioner import partition

    return partition(*arguments)


def _infer_sharding(*arguments: Any) -> Any:
    from jax_npu.lowering.mesh.partitioner import infer_sharding

    return infer_sharding(*arguments)
