"""The virtual NPU as a Python object: load a design, run streams on it.

Backend `sim` of jax_npu uses the same engine behind XRT's interface.
"""

import ctypes
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import WORD_BYTES
from xdna.simulator.kernel import Kernel, callback, description, kernel_info
from xdna.simulator.library import KernelInfo, library
from xdna.simulator.report import Report

STOPPED = 1  # what npu_sim_run returns for a run that `stop_after` ended
KERNEL_FAILED = "the kernel failed"  # the engine's words for a kernel that raised


class Trap(RuntimeError):  # noqa: N818 (not a mistake of the Python program)
    """A run for which silicon would hang or return garbage."""


class Stopped(Trap):
    """A run that was stopped after the cycle that its caller gave."""


class VirtualNpu:
    """An array that a design was loaded into. Its state outlives a run.

    Args:
      configuration: text from `xdna.load.configuration`.
      arithmetic: how the built-in kernels compute, a name in `xdna.arithmetics`.
      b_column_major: whether the built-in matmuls take B column-major.
      kernels: the caller's own; they replace built-in ones with the same names.
      only_timed: whether runs only take their time: they move no data and call no
        kernel, and do not touch their buffers.
      designs: configurations that streams load by LOADPDI, by their PDIs' ids. A loaded
        one stays until `reset`.

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
        only_timed: bool = False,
        designs: Mapping[int, str] | None = None,
    ) -> None:
        self._library = library()
        self._raised: list[BaseException] = []  # by kernels, during the last run
        # Kept for as long as the engine, which holds pointers to these functions.
        self._callbacks = [callback(kernel, self._raised) for kernel in kernels]
        infos = map(kernel_info, kernels, self._callbacks)
        self._sim: int | None = self._library.npu_sim_open(
            configuration.encode(),
            arithmetic.encode(),
            b_column_major,
            only_timed,
            (KernelInfo * len(kernels))(*infos),
            len(kernels),
        )
        if not self._sim:
            raise ValueError(self._error())
        for pdi, text in (designs or {}).items():
            if self._library.npu_sim_add_design(self._sim, pdi, text.encode()):
                raise ValueError(self._error())

    def run(
        self,
        words: ArrayLike,
        buffers: Sequence[np.ndarray],
        is_chained: bool = False,
        stop_after: int | None = None,
    ) -> Report:
        """Executes a stream on its buffers, in place, and reports this run.

        Args:
          is_chained: the run follows another in one list, and begins sooner.
          stop_after: the cycle after which to stop, counted as in messages: from the
            array's start, through all its runs.

        Raises:
          Trap: if silicon would hang or return garbage, or if a kernel raises, whose
            error is then the cause. Only `reset` makes the array usable again; until
            then `state`, `memory` and `report(of_all_runs=False)` show what led there.
          Stopped: after that cycle; as a Trap.
          ValueError: if a buffer is not contiguous, writeable and on 4 bytes.
        """
        _check_buffers(buffers)
        stream = np.ascontiguousarray(words, np.uint32)
        self._raised.clear()
        num_buffers = len(buffers)
        addresses = (ctypes.c_void_p * num_buffers)(
            *(buffer.ctypes.data for buffer in buffers)
        )
        sizes = (ctypes.c_int64 * num_buffers)(*(buffer.nbytes for buffer in buffers))
        failed = self._library.npu_sim_run(
            self._sim,
            stream.ctypes.data,
            stream.size,
            addresses,
            sizes,
            num_buffers,
            is_chained,
            -1 if stop_after is None else stop_after,
        )
        if failed == STOPPED:
            raise Stopped(self._error())
        if failed:
            # KeyboardInterrupt and the like must reach the caller as they are.
            if interrupts := [e for e in self._raised if not isinstance(e, Exception)]:
                raise interrupts[0]
            message, cause = self._error(), next(iter(self._raised), None)
            if cause is not None:
                message = message.replace(KERNEL_FAILED, description(cause), 1)
            raise Trap(message) from cause
        return self.report(of_all_runs=False)

    def reset(self) -> None:
        """Puts the array into its state after loading; counters stay."""
        self._library.npu_sim_reset(self._sim)

    def report(self, of_all_runs: bool = True) -> Report:
        text: bytes = self._library.npu_sim_report(self._sim, of_all_runs)
        return Report.from_json(text.decode())

    def state(self) -> dict[str, Any]:
        """What every agent does, locks, task queues and buffers; after a trap as then.

        `unwritten` is a buffer's first byte that nothing has written, or -1.
        """
        text: bytes = self._library.npu_sim_state(self._sim)
        state: dict[str, Any] = json.loads(text)
        return state

    def memory(self, column: int, row: int) -> np.ndarray:
        """A copy of the bytes of a tile's data memory.

        Raises:
          ValueError: if there is no such tile, or it is a shim.
        """
        size = ctypes.c_int64()
        address = self._library.npu_sim_memory(
            self._sim, column, row, ctypes.byref(size)
        )
        if not address:
            raise ValueError(self._error())
        return np.frombuffer(ctypes.string_at(address, size.value), np.uint8)

    def start_trace(self) -> None:
        """Starts to record what every core, every channel and the controller do."""
        self._library.npu_sim_start_trace(self._sim)

    def trace(self) -> str:
        """The recording, in Chrome's trace format, which Perfetto opens."""
        text: bytes = self._library.npu_sim_trace(self._sim)
        return text.decode()

    def _error(self) -> str:
        text: bytes = self._library.npu_sim_error()
        return text.decode()

    def __del__(self) -> None:
        if getattr(self, "_sim", None):
            self._library.npu_sim_close(self._sim)


def _check_buffers(buffers: Sequence[np.ndarray]) -> None:
    for index, buffer in enumerate(buffers):
        flags = buffer.flags
        aligned = buffer.ctypes.data % WORD_BYTES == 0
        if not (flags.c_contiguous and flags.writeable and aligned):
            raise ValueError(
                f"buffer {index} must be contiguous, writeable and on 4 bytes"
            )
