"""The compiled extension: finding it, and registering its handlers with XLA."""

import ctypes
import functools
from pathlib import Path

import jax

from jax_npu.runtime import npu_finder
from xdna.find_library import find_library

LIBRARY = "libxla_ffi.so"
NO_XRT = "XRT does not load"
GEMM_TARGETS = ("xdna_gemm_host", "xdna_gemm_npu", "xdna_gemm_sim")
ADAMW_TARGET = "jax_npu_adamw"
# With the number of their operands.
NUMBER_TARGETS = {"xdna_value_number": 1, "xdna_carry_numbers": 2}
TARGETS = (*GEMM_TARGETS, "xdna_pack_host", *NUMBER_TARGETS, ADAMW_TARGET)


def library_path(name: str) -> Path:
    """The path of a compiled library: one of ours, or the virtual NPU's.

    Raises:
      OSError: if it was not built.
    """
    return find_library(name, "jax_npu", "xdna")


@functools.cache
def load() -> ctypes.CDLL:
    """The shared object of `xla_ffi/`.

    Raises:
      OSError: if it was not built or cannot be loaded.
    """
    path = library_path(LIBRARY)
    library = ctypes.CDLL(str(path))
    try:
        library.jax_npu_set_finder(npu_finder.answer)
    except AttributeError:
        raise OSError(
            f"{path} was built from older sources; install the project with pip again"
        ) from None
    return library


def register_all() -> None:
    """Registers every handler, so that programs from elsewhere run without a lowering.

    Without the extension it does nothing: `register` raises the error where it matters.
    """
    try:
        load()
    except OSError:
        return
    for target in TARGETS:
        register(target)


@functools.cache
def register(target: str) -> None:
    """Registers the handler of that name with XLA, once a process.

    Raises:
      OSError: if the extension was not built or cannot be loaded.
    """
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(load()[target]), "cpu")


@functools.cache
def device_error(library: Path) -> str | None:
    """The reason why a driver library opens no NPU, or None; asked once a process."""
    try:
        function = ctypes.CDLL(str(library)).jax_npu_device_error
    except OSError as error:
        return f"{NO_XRT} ({error}); install it, see 'jax-npu doctor'"
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
    name: bytes | None = function(ctypes.byref(error))
    if name is None:
        raise ValueError((error.value or b"").decode())
    return name.decode()
