"""The virtual NPU for Python: designs, streams and buffers, without JAX.

    npu = VirtualNpu(configuration(parse(text)))
    report = npu.run(words, [a, b, c])

runs an instruction stream on any design. `backend="sim"` uses the same engine behind
XRT's interface.
"""

import ctypes
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from xdna.library import find_library

LIBRARY = "libnpu_sim.so"
ARITHMETICS = ("exact", "bfp16", "bfp16_floor", "fast")


class Trap(RuntimeError):  # noqa: N818 (not a mistake of the Python program)
    """What silicon would answer with a hang or garbage."""


@dataclass(frozen=True)
class Kernel:
    """A function of the caller's that cores call by `name`.

    It is given an array for each buffer, flat and of the dtype named here, and an int
    for each scalar (dtype None), and changes the buffers in place.

    Args:
      accesses: what it does to each argument: "-" (nothing, or a scalar), "r", "w" or
        "b" (both).
      cycles: of the core's clock that a call takes.
      macs: multiply-accumulates of a call, for reports.
    """

    name: str
    function: Callable[..., None]
    accesses: str
    dtypes: Sequence[DTypeLike | None]
    cycles: int
    macs: int = 0


@dataclass(frozen=True)
class Usage:
    """Cycles of one core, DMA channel, direction of DDR, or of the controller.

    But for DDR, busy cycles and stalls make up the run.
    """

    busy: int
    bytes: int
    macs: int
    stalls: dict[str, int] = field(default_factory=dict)  # by cause


@dataclass(frozen=True)
class Report:
    """What a run, or several, did on the virtual NPU.

    `bytes` counts what DMA moved by level (ddr, l2, l1) and direction, and words times
    links crossed as "stream".
    """

    device: str
    arithmetic: str
    clock_hz: float
    runs: int
    cycles: int  # on the device: launch, controller and array
    controller_cycles: int  # of these, it executed operations
    submission_seconds: float  # of the host
    device_seconds: float
    macs: int
    kernel_calls: int
    instruction_words: int
    bytes: dict[str, int]
    usage: dict[str, Usage]

    @classmethod
    def from_json(cls, text: str) -> "Report":
        values: dict[str, Any] = json.loads(text)
        usage = {name: Usage(**one) for name, one in values.pop("usage").items()}
        return cls(**values, usage=usage)

    @property
    def seconds(self) -> float:
        """Of device and submission."""
        return self.device_seconds + self.submission_seconds

    @property
    def flops_per_second(self) -> float:
        return 2 * self.macs / self.seconds if self.seconds else 0.0

    def utilisation(self, name: str) -> float:
        """The share of the device's time in which that one was busy."""
        return self.usage[name].busy / self.cycles if self.cycles else 0.0

    @property
    def busiest(self) -> str:
        """The resource that was busy for most of the time."""
        return max(self.usage, key=lambda name: self.usage[name].busy, default="none")


class VirtualNpu:
    """An array that a design was loaded into. Its state outlives a run.

    Args:
      configuration: text of `xdna.load.configuration`.
      arithmetic: how the built-in kernels compute: "exact" (the chip's own mac to the
        bit), "bfp16" and "bfp16_floor" (npu2 alone), or "fast" (f32 of this CPU).
      b_column_major: whether the built-in matmuls take B column-major.
      kernels: the caller's own; they replace built-in ones of their names.

    Raises:
      OSError: if the library was not built.
      ValueError: if the configuration is not consistent, calls an unknown kernel, or
        the device lacks the arithmetic.
    """

    def __init__(
        self,
        configuration: str,
        arithmetic: str = "exact",
        b_column_major: bool = False,
        kernels: Sequence[Kernel] = (),
    ) -> None:
        self._library = library()
        self._raised: list[BaseException] = []  # by kernels
        self._callbacks = [  # kept alive
            _callback(kernel, self._raised) for kernel in kernels
        ]
        infos = (_KernelInfo * len(kernels))(
            *(
                _KernelInfo(
                    kernel.name.encode(),
                    callback,
                    len(kernel.accesses),
                    kernel.accesses.encode(),
                    kernel.cycles,
                    kernel.macs,
                )
                for kernel, callback in zip(kernels, self._callbacks)
            )
        )
        self._sim = self._library.npu_sim_open(
            configuration.encode(),
            arithmetic.encode(),
            b_column_major,
            infos,
            len(kernels),
        )
        if not self._sim:
            raise ValueError(self._error())

    def run(self, words: ArrayLike, buffers: Sequence[np.ndarray]) -> Report:
        """Executes a stream on its buffers, in place, and reports this run.

        Raises:
          Trap: where silicon would hang or give garbage, or a kernel raises, which is
            then its cause. Only `reset` helps then.
          ValueError: if a buffer is not contiguous, writeable and on 4 bytes.
        """
        stream = np.ascontiguousarray(words, np.uint32)
        for index, buffer in enumerate(buffers):
            flags = buffer.flags
            if not (flags.c_contiguous and flags.writeable) or buffer.ctypes.data % 4:
                raise ValueError(
                    f"buffer {index} must be contiguous, writeable and on 4 bytes"
                )
        self._raised.clear()
        count = len(buffers)
        failed = self._library.npu_sim_run(
            self._sim,
            stream.ctypes.data,
            stream.size,
            (ctypes.c_void_p * count)(*(buffer.ctypes.data for buffer in buffers)),
            (ctypes.c_int64 * count)(*(buffer.nbytes for buffer in buffers)),
            count,
        )
        if failed:
            if interrupts := [e for e in self._raised if not isinstance(e, Exception)]:
                raise interrupts[0]
            raise Trap(self._error()) from next(iter(self._raised), None)
        return self.report(of_all_runs=False)

    def reset(self) -> None:
        """Brings the array back to what it was after loading; counters stay."""
        self._library.npu_sim_reset(self._sim)

    def report(self, of_all_runs: bool = True) -> Report:
        text = self._library.npu_sim_report(self._sim, of_all_runs)
        return Report.from_json(text.decode())

    def start_trace(self) -> None:
        """Records from now on what every core, channel and the controller does."""
        self._library.npu_sim_start_trace(self._sim)

    def trace(self) -> str:
        """What was recorded, in Chrome's trace format, which Perfetto opens."""
        return self._library.npu_sim_trace(self._sim).decode()

    def _error(self) -> str:
        return self._library.npu_sim_error().decode()

    def __del__(self) -> None:
        if getattr(self, "_sim", None):
            self._library.npu_sim_close(self._sim)


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_int64),
    ctypes.POINTER(ctypes.c_int64),
)


class _KernelInfo(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("run", _CALLBACK),
        ("num_arguments", ctypes.c_int),
        ("accesses", ctypes.c_char_p),
        ("cycles", ctypes.c_int64),
        ("macs", ctypes.c_int64),
    )


def _callback(kernel: Kernel, raised: list[BaseException]) -> Any:
    if len(kernel.accesses) != len(kernel.dtypes):
        raise ValueError(
            f"kernel {kernel.name} must have a dtype for each access, got "
            f"{len(kernel.accesses)} accesses and {len(kernel.dtypes)} dtypes"
        )

    def call(data: Any, sizes: Any, scalars: Any) -> int:
        arguments: list[Any] = []
        for index, dtype in enumerate(kernel.dtypes):
            if dtype is None:
                arguments.append(scalars[index])
                continue
            memory = (ctypes.c_uint8 * sizes[index]).from_address(data[index])
            arguments.append(np.frombuffer(memory, np.uint8).view(dtype))
        kernel.function(*arguments)
        return 0

    def guarded(data: Any, sizes: Any, scalars: Any) -> int:
        try:
            return call(data, sizes, scalars)
        except BaseException as error:  # C++ cannot carry it
            raised.append(error)
            return 1

    return _CALLBACK(guarded)


@functools.cache
def library() -> ctypes.CDLL:
    """The shared object of `aie/sim/`.

    Raises:
      OSError: if it was not built or cannot be loaded.
    """
    loaded = ctypes.CDLL(str(find_library(LIBRARY, "xdna")))
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {
        "npu_sim_error": (text, []),
        "npu_sim_open": (
            pointer,
            [text, text, integer, ctypes.POINTER(_KernelInfo), integer],
        ),
        "npu_sim_close": (None, [pointer]),
        "npu_sim_run": (
            integer,
            [
                pointer,
                pointer,
                ctypes.c_int64,
                ctypes.POINTER(pointer),
                ctypes.POINTER(ctypes.c_int64),
                integer,
            ],
        ),
        "npu_sim_reset": (None, [pointer]),
        "npu_sim_report": (text, [pointer, integer]),
        "npu_sim_start_trace": (None, [pointer]),
        "npu_sim_trace": (text, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
