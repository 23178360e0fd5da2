"""Times on an NPU: the parameters of the virtual NPU's time model.

An array's own times are the same on every machine, in cycles; its clock, DDR and launch
are a machine's (`machines.py`), and a kernel's are those of the compiler that made it.
Each number has its source: AM020 for the tiles' DMA, measurements on silicon that
others published, or an assumption. "Scaled" means npu1's time at npu2's clock, which is
assumed. Five numbers are fitted to measured GEMMs: the three below, and DDR's rate and
the launch of `machines.py`. `jax-npu calibrate` compares the model with the GEMMs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdna.devices import WORD_BYTES, device
from xdna.machine_choice import chosen_machine
from xdna.machines import MACHINES, Machine

SCALE = MACHINES["krackan-350"].clock_hz / 1.024e9
# Fitted: the share of the device's multiply-accumulates a cycle that the open
# compiler's inner loop reaches. With C's loads and stores, 64 x 64 x 64 with C in f32
# then reaches 0.42 of the peak, and k slices of 512 reach 0.51, as was published.
PEANO_INNER_EFFICIENCY = 0.52
# Fitted: a shim begins a run of consecutive bytes in DDR at most every so many cycles,
# all its channels of a direction together. npu1's rows with runs of 128 and 448 bytes
# and npu2's with runs of 128 bytes fit the same number.
RUN_CYCLES = 40
# Fitted: so many cycles more for a line of 64 bytes that a run covers only in part. The
# only runs measured that do have 112 bytes.
PARTIAL_LINE_CYCLES = 18


@dataclass(frozen=True)
class KernelTime:
    """Cycles of C (m, n) += A (m, k) B (k, n) on one core: mkn * m k n + mn * m n.

    `mn` holds for C in f32. C is loaded and stored once a call, so in bf16 it is half.
    """

    mkn: float
    mn: float

    def cycles(self, m: int, k: int, n: int) -> float:
        return self.mkn * m * k * n + self.mn * m * n


# Published for npu1 with the hand-scheduling compiler and C in bf16, on three tiles:
# m n (0.118 + k / 128). The open compiler's own constant is not published, so it is
# taken to be the same.
F32_C_CYCLES = 2 * 0.118

# By compiler: Peano is open, xchesscc schedules by hand.
KERNELS: Mapping[str, Mapping[str, Mapping[str, KernelTime]]] = {
    "npu1": {
        "peano": {
            "exact": KernelTime(1 / (128 * PEANO_INNER_EFFICIENCY), F32_C_CYCLES)
        },
        "xchesscc": {"exact": KernelTime(1 / 128, F32_C_CYCLES)},
    },
    "npu2": {
        # bfp16: two numbers that fit published measurements of three tiles. exact:
        # npu1's share of 32 multiply-accumulates a cycle, assumed.
        "peano": {
            "exact": KernelTime(1 / (32 * PEANO_INNER_EFFICIENCY), F32_C_CYCLES),
            "bfp16": KernelTime(3.69e-3, 0.155),
        },
        # Published with C in bf16, on three tiles: m n (0.068..0.087 + k / 170).
        "xchesscc": {
            "exact": KernelTime(1 / 32, F32_C_CYCLES),
            "bfp16": KernelTime(1 / 170, 2 * 0.0775),
        },
    },
}
COMPILERS = tuple(KERNELS["npu1"])


@dataclass(frozen=True)
class Timing:
    """Times in cycles of the array's clock, except where the name has another unit."""

    clock_hz: float
    # Streams and tile DMA: AM020; published measurement 3.99976 bytes a cycle on npu1.
    cycles_per_word: float  # a word has 4 bytes
    bd_setup: int  # AM020
    channel_start: int  # AM020
    bd_chain: int  # from one buffer descriptor (BD) to the next, AM020
    lock: int  # acquire or release, AM020
    memtile_release: int  # until others see it, published measurement
    hop: int  # for each switch on a route, AM020
    # Shims. npu1: published measurement of 747 + 1.05 cycles a word from DDR and
    # 171 + 1.00 to it. npu2: its streams take two words a cycle, the rest is assumed.
    shim_mm2s_cycles_per_word: float
    shim_s2mm_cycles_per_word: float
    shim_mm2s_first_task: int  # on a channel that was idle
    shim_s2mm_first_task: int
    shim_mm2s_task: int
    shim_s2mm_task: int
    # The controller's time for each operation of a stream.
    write: int  # published measurement
    lock_write: int  # npu1 like any other write, assumed; npu2 published measurement
    maskwrite: int  # npu1 published measurement, npu2 scaled
    blockwrite: int  # npu1 published measurement, npu2 scaled
    blockwrite_word: int  # npu1 published measurement, npu2 scaled
    patch: int  # assumed: a blockwrite of two words
    sync: int  # assumed: a write
    # npu1 published measurement. npu2's are chosen so that, with launch_seconds, they
    # add up to the 107-116 us of an empty dispatch, a published measurement.
    first_sync: int
    launch: int
    # Instead of `launch`, and without the host's part, where a run follows another in
    # one list: with the first sync 28 us at 1 GHz. That figure is hearsay among users
    # of npu1, for which nobody gives a measurement; npu2 is assumed to be as fast.
    chained_launch: int
    launch_seconds: float  # the host's part: the machine's
    # DDR: the machine's rate, and how shims reach it.
    ddr_bytes_per_second: float
    ddr_directions_shared: bool  # whether reads and writes share that rate
    run_cycles: int  # fitted
    partial_line_cycles: int  # fitted
    # Cores.
    core_instruction: int  # an instruction of the core's own program, assumed
    kernel_call: int  # assumed
    matmul_exact_mkn: float  # `KernelTime`, by arithmetic
    matmul_exact_mn: float
    matmul_bfp16_mkn: float  # 0: the device has no bfp16
    matmul_bfp16_mn: float
    zero_byte: float  # assumed: one store of 256 bits a cycle
    convert_element: float  # f32 to bf16, assumed
    run_limit_seconds: float = 2.0  # the driver aborts a longer run, published

    def matmul(self, arithmetic: str) -> KernelTime:
        """The kernel's time in an arithmetic, exact or bfp16."""
        return {
            "exact": KernelTime(self.matmul_exact_mkn, self.matmul_exact_mn),
            "bfp16": KernelTime(self.matmul_bfp16_mkn, self.matmul_bfp16_mn),
        }[arithmetic]


def timing(
    device_name: str, machine: Machine | None = None, compiler: str = "peano"
) -> Timing:
    """The times of a device in a machine.

    A part of an NPU, such as "npu1_2col", has the times of the whole.

    Args:
      machine: by default the chosen one, see `chosen_machine`.
      compiler: of the cores' kernels, one of `COMPILERS`.

    Raises:
      ValueError: if there is no such device or compiler, or the machine's NPU is of
        another generation.
    """
    machine = machine or chosen_machine(device_name)
    generation = device(device_name).name.split("_")[0]
    if machine.device != generation:
        raise ValueError(
            f"{machine.name} has an {machine.device}, and times of an {generation} are "
            "asked for"
        )
    if compiler not in COMPILERS:
        raise ValueError(
            f"compiler must be one of {', '.join(COMPILERS)}, got {compiler!r}"
        )
    kernels = KERNELS[generation][compiler]
    bfp16 = kernels.get("bfp16", KernelTime(0.0, 0.0))
    return Timing(
        **_ARRAYS[generation],
        clock_hz=machine.clock_hz,
        launch_seconds=machine.launch_seconds,
        ddr_bytes_per_second=machine.ddr_bytes_per_second,
        ddr_directions_shared=machine.ddr_directions_shared,
        run_cycles=RUN_CYCLES,
        partial_line_cycles=PARTIAL_LINE_CYCLES,
        # a stream moves a word a cycle on npu1, two on npu2
        cycles_per_word=WORD_BYTES / device(generation).stream_bytes_per_cycle,
        bd_setup=4,
        channel_start=2,
        bd_chain=2,
        lock=1,
        memtile_release=63,
        hop=4,
        shim_mm2s_first_task=1330,
        shim_s2mm_first_task=341,
        shim_mm2s_task=325,
        shim_s2mm_task=179,
        core_instruction=1,
        kernel_call=20,
        matmul_exact_mkn=kernels["exact"].mkn,
        matmul_exact_mn=kernels["exact"].mn,
        matmul_bfp16_mkn=bfp16.mkn,
        matmul_bfp16_mn=bfp16.mn,
        zero_byte=1 / 32,
        convert_element=1 / 8,
    )


_ARRAYS: Mapping[str, Mapping[str, Any]] = {
    "npu1": {
        "shim_mm2s_cycles_per_word": 1.05,
        "shim_s2mm_cycles_per_word": 1.0,
        "write": 100,
        "lock_write": 100,
        "maskwrite": 210,
        "blockwrite": 100,
        "blockwrite_word": 13,
        "patch": 126,
        "sync": 100,
        "first_sync": 8000,
        "launch": 28500,
        "chained_launch": 20000,
    },
    "npu2": {
        "shim_mm2s_cycles_per_word": 0.525,
        "shim_s2mm_cycles_per_word": 0.5,
        "write": round(66e-9 * 1.8e9),
        "lock_write": round(0.2e-6 * 1.8e9),
        "maskwrite": round(210 * SCALE),
        "blockwrite": round(100 * SCALE),
        "blockwrite_word": round(13 * SCALE),
        "patch": round(126 * SCALE),
        "sync": round(66e-9 * 1.8e9),
        "first_sync": 20000,
        "launch": 70000,
        "chained_launch": 30000,
    },
}
