"""The compiled extension: finding it, and registering its handlers with XLA."""

import ctypes
import functools
from pathlib import Path

import jax

import jax_npu

LIBRARY = "libxla_ffi.so"


def library_path(name: str) -> Path:
    """Where a shared object that was compiled with the package lies.

    Raises:
      OSError: if it was not built.
    """
    # An editable install keeps what was compiled apart from the sources.
    for folder in jax_npu.__path__:
        if (path := Path(folder) / name).exists():
            return path
    raise OSError(f"{name} was not built; install the project with pip")


@functools.cache
def load() -> ctypes.CDLL:
    """The shared object of `xla_ffi/`.

    Raises:
      OSError: if it was not built or cannot be loaded.
    """
    return ctypes.CDLL(str(library_path(LIBRARY)))


@functools.cache
def register(target: str) -> None:
    """Makes the handler of that name known to XLA, once a process."""
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(load()[target]), "cpu")


def host_isa() -> str:
    """Instruction set of the host GEMM: the fastest here, or `$JAX_NPU_HOST_ISA`.

    Raises:
      OSError: if the extension cannot be loaded.
      ValueError: if the variable names none that this CPU runs.
    """
    function = load().jax_npu_host_isa
    function.restype = ctypes.c_char_p
    error = ctypes.c_char_p()
    name = function(ctypes.byref(error))
    if name is None:
        raise ValueError((error.value or b"").decode())
    return name.decode()
