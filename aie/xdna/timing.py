"""Times on an NPU: the parameters of the virtual NPU's time model.

Each number has its source: AM020 for the tiles' DMA, measurements on silicon that
others published, or an assumption. "Scaled" means npu1's time at npu2's clock, which is
assumed. Two numbers are fitted to measured GEMMs, `KERNEL_EFFICIENCY` and
`NPU1_LAUNCH_SECONDS`; `jax-npu calibrate` compares the model with them.
"""

from dataclasses import dataclass

from xdna.devices import WORD_BYTES, device

NPU1_HZ = 1.024e9
NPU2_HZ = 1.8e9
SCALE = NPU2_HZ / NPU1_HZ
# Fitted: the share of the device's exact multiply-accumulates a cycle that mlir-aie's
# kernel reaches with the open compiler. The share published for npu1 is 0.377; the
# clock of the measured GEMMs is not published, and at 1.024 GHz they need 0.40. Assumed
# for npu2.
KERNEL_EFFICIENCY = 0.40
# Fitted: the host's part of submitting a run and waiting for it. With the controller's
# launch and first sync an empty run takes 136 us; 150-170 us were published for two
# machines.
NPU1_LAUNCH_SECONDS = 100e-6
# Lost between two runs of consecutive bytes in DDR: a rate of r becomes
# r / (1 + overhead / run). On npu2, 62 GB/s in all become the published 37 with runs of
# 128 bytes and 10 with runs of 16. Not measured on npu1.
DDR_RUN_OVERHEAD_BYTES = 85.0


@dataclass(frozen=True)
class Timing:
    """Times in cycles of the array's clock, except where the name has another unit."""

    clock_hz: float  # in the default power mode, published measurement
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
    # The host's part: npu1 fitted, npu2 published measurement of an empty kernel.
    launch_seconds: float
    # DDR, published measurements.
    ddr_bytes_per_second: float  # all shims together, per direction or in all
    ddr_directions_shared: bool  # whether reads and writes share that rate
    ddr_run_overhead_bytes: float
    # Cores.
    core_instruction: int  # an instruction of the core's own program, assumed
    kernel_call: int  # assumed
    # A kernel call on a tile (m, k, n) takes mkn * m k n + mn * m n cycles. bfp16: two
    # numbers that fit published measurements of three tiles.
    matmul_exact_mkn: float
    matmul_exact_mn: float
    matmul_bfp16_mkn: float  # 0: the device has no bfp16
    matmul_bfp16_mn: float
    zero_byte: float  # assumed: one store of 256 bits a cycle
    convert_element: float  # f32 to bf16, assumed
    run_limit_seconds: float = 2.0  # the driver aborts a longer run, published


def _cycles_per_word(name: str) -> float:
    # a stream moves a word a cycle on npu1, two on npu2
    return WORD_BYTES / device(name).stream_bytes_per_cycle


def _exact_mkn(name: str) -> float:
    return 1 / (device(name).bf16_macs_per_cycle * KERNEL_EFFICIENCY)


TIMINGS = {
    "npu1": Timing(
        clock_hz=NPU1_HZ,
        cycles_per_word=_cycles_per_word("npu1"),
        bd_setup=4,
        channel_start=2,
        bd_chain=2,
        lock=1,
        memtile_release=63,
        hop=4,
        shim_mm2s_cycles_per_word=1.05,
        shim_s2mm_cycles_per_word=1.0,
        shim_mm2s_first_task=1330,
        shim_s2mm_first_task=341,
        shim_mm2s_task=325,
        shim_s2mm_task=179,
        write=100,
        lock_write=100,
        maskwrite=210,
        blockwrite=100,
        blockwrite_word=13,
        patch=126,
        sync=100,
        first_sync=8000,
        launch=28500,
        launch_seconds=NPU1_LAUNCH_SECONDS,
        ddr_bytes_per_second=27e9,
        ddr_directions_shared=False,
        ddr_run_overhead_bytes=0.0,
        core_instruction=1,
        kernel_call=20,
        matmul_exact_mkn=_exact_mkn("npu1"),
        matmul_exact_mn=0.0,
        matmul_bfp16_mkn=0.0,
        matmul_bfp16_mn=0.0,
        zero_byte=1 / 32,
        convert_element=1 / 8,
    ),
    "npu2": Timing(
        clock_hz=NPU2_HZ,
        cycles_per_word=_cycles_per_word("npu2"),
        bd_setup=4,
        channel_start=2,
        bd_chain=2,
        lock=1,
        memtile_release=63,
        hop=4,
        shim_mm2s_cycles_per_word=0.525,
        shim_s2mm_cycles_per_word=0.5,
        shim_mm2s_first_task=1330,
        shim_s2mm_first_task=341,
        shim_mm2s_task=325,
        shim_s2mm_task=179,
        write=round(66e-9 * NPU2_HZ),
        lock_write=round(0.2e-6 * NPU2_HZ),
        maskwrite=round(210 * SCALE),
        blockwrite=round(100 * SCALE),
        blockwrite_word=round(13 * SCALE),
        patch=round(126 * SCALE),
        sync=round(66e-9 * NPU2_HZ),
        first_sync=20000,
        launch=70000,
        launch_seconds=60e-6,
        ddr_bytes_per_second=62e9,
        ddr_directions_shared=True,
        ddr_run_overhead_bytes=DDR_RUN_OVERHEAD_BYTES,
        core_instruction=1,
        kernel_call=20,
        matmul_exact_mkn=_exact_mkn("npu2"),
        matmul_exact_mn=0.0,
        matmul_bfp16_mkn=3.69e-3,
        matmul_bfp16_mn=0.155,
        zero_byte=1 / 32,
        convert_element=1 / 8,
    ),
}


def timing(device_name: str) -> Timing:
    """The times of a device.

    A part of an NPU, such as "npu1_2col", has the times of the whole.

    Raises:
      ValueError: if there is no such device.
    """
    return TIMINGS[device(device_name).name.split("_")[0]]
