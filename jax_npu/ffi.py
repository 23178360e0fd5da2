"""The compiled extension: finding it, and registering its handlers with XLA."""

import ctypes
import functools
import os
from pathlib import Path

import jax

import jax_npu

LIBRARY = "libxla_ffi.so"


def library_path(name: str) -> Path:
    """Where a shared object that was compiled with the package lies.

    `$JAX_NPU_LIBRARY_DIR` names a folder to take all of them from instead: of a build
    with sanitizers, for one.

    Raises:
      OSError: if it was not built.
    """
    # An editable install keeps what was compiled apart from the sources.
    other = os.environ.get("JAX_NPU_LIBRARY_DIR")
    for folder in [other] if other else jax_npu.__path__:
        if (path := Path(folder) / name).exists():
            return path
    where = f" into {other}" if other else ""
    raise OSError(f"{name} was not built{where}; install the project with pip")


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


@functools.cache
def device_error(library: Path) -> str | None:
    """Why a driver library opens no NPU, or None. Asked once a process."""
    try:
        function = ctypes.CDLL(str(library)).jax_npu_device_error
    except OSError as error:
        return f"XRT does not load ({error}); install it, see 'jax-npu doctor'"
    function.restype = ctypes.c_char_p
    message = function()
    return None if message is None else " ".join(message.decode().split())


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
