"""Kernels written in Python, for the cores of the virtual NPU to call."""

import ctypes
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from xdna.simulator.library import KernelFunction, KernelInfo

# For `Kernel.cycles`: the built-in kernel of that name keeps its accesses and times,
# and only computes with this function.
AS_BUILT_IN = -1
SITE = "site-packages"


@dataclass(frozen=True)
class Kernel:
    """A Python function that cores call by `name`.

    It takes a flat array of the dtype named here for each buffer and an int for each
    scalar (dtype None), and changes the buffers in place.

    Args:
      accesses: a letter for each argument: "r" (read), "w" (written), "b" (both) or
        "-" (neither, or a scalar).
      cycles: duration of a call, in cycles of the core's clock, or `AS_BUILT_IN`.
      macs: multiply-accumulates of a call, for reports.
      cascade_in, cascade_out: dtype and number of the values that a call gets from the
        core before it in the cascade, and that it gives to the next one. The function
        has an array for each behind its other arguments. They are whole vectors of 64
        bytes.
    """

    name: str
    function: Callable[..., None]
    accesses: str
    dtypes: Sequence[DTypeLike | None]
    cycles: int
    macs: int = 0
    cascade_in: tuple[DTypeLike, int] | None = None
    cascade_out: tuple[DTypeLike, int] | None = None


CASCADE_BYTES = 64  # a cascade's vector: 512 bits on AIE-ML (AMD AM020)


def callback(kernel: Kernel, raised: list[BaseException]) -> Any:
    """The kernel as a C function. What it raises is appended to `raised`.

    ctypes frees the C function with this object: keep it while cores may call it.

    Raises:
      ValueError: if the kernel does not have a dtype for each access, or moves a part
        of a vector through the cascade.
    """
    if len(kernel.accesses) != len(kernel.dtypes):
        raise ValueError(
            f"kernel {kernel.name} must have a dtype for each access, got "
            f"{len(kernel.accesses)} accesses and {len(kernel.dtypes)} dtypes"
        )

    for name, end in ("in", kernel.cascade_in), ("out", kernel.cascade_out):
        if _cascade_bytes(end) % CASCADE_BYTES:
            raise ValueError(
                f"kernel {kernel.name} must have a cascade_{name} of whole vectors of "
                f"{CASCADE_BYTES} bytes, got {_cascade_bytes(end)}"
            )

    def call(data: Any, sizes: Any, scalars: Any) -> int:
        try:
            kernel.function(*_arguments(kernel, data, sizes, scalars))
        except BaseException as error:  # C++ cannot carry it
            raised.append(error)
            return 1
        return 0

    return KernelFunction(call)


def description(error: BaseException) -> str:
    """What a kernel raised and where, in one line.

    The place is the last line of the user's code that the error came through; what
    NumPy or others call further down is theirs.
    """
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        others = (__file__, "<frozen importlib")
        if not frame.filename.startswith(others) and SITE not in frame.filename:
            name = Path(frame.filename).name
            return f"{what} ({name}, line {frame.lineno}: {frame.line})"
    is_call = not isinstance(error, SyntaxError)  # which names its own line
    return f"{what} (it cannot be called with its arguments)" if is_call else what


def kernel_info(kernel: Kernel, function: Any) -> KernelInfo:
    return KernelInfo(
        kernel.name.encode(),
        function,
        len(kernel.accesses),
        kernel.accesses.encode(),
        kernel.cycles,
        kernel.macs,
        _cascade_bytes(kernel.cascade_in),
        _cascade_bytes(kernel.cascade_out),
    )


def _cascade_bytes(end: tuple[DTypeLike, int] | None) -> int:
    return 0 if end is None else np.dtype(end[0]).itemsize * end[1]


def _arguments(kernel: Kernel, data: Any, sizes: Any, scalars: Any) -> list[Any]:
    arguments: list[Any] = []
    ends = kernel.cascade_in, kernel.cascade_out
    dtypes = [*kernel.dtypes, *(end[0] for end in ends if end is not None)]
    for index, dtype in enumerate(dtypes):
        if dtype is None:
            arguments.append(scalars[index])
            continue
        # A view of the core's memory: the kernel writes into it.
        memory = (ctypes.c_uint8 * sizes[index]).from_address(data[index])
        arguments.append(np.frombuffer(memory, np.uint8).view(dtype))
    return arguments
