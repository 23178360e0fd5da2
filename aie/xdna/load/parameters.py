"""The `param` lines of a configuration: limits, addresses and times of a device."""

from dataclasses import asdict

from xdna import devices
from xdna.devices import CORE, MEMTILE, SHIM, Device, TileKind
from xdna.timing import Timing, timing

# An npu1's partition begins at the second physical column, which has a memtile to its
# west (aie-rt calls its device AIE2IPU; AIERT.cpp of mlir-aie begins at column 1).
GENERATION_WITH_MEMTILE_WEST = 3

TILE_FIELDS = ("memory_bytes", "num_locks", "lock_address")
DMA_FIELDS = (
    "num_s2mm",
    "num_mm2s",
    "num_bds",
    "num_dims",
    "wrap_bits",
    "step_bits",
    "length_bits",
    "bd_address",
    "bd_words",
    "parity",
    "s2mm_control",
    "mm2s_control",
)


def parameters(npu: Device, times: Timing | None = None) -> dict[str, float]:
    """Every number of a device that the virtual NPU needs, by its name there.

    Args:
      times: by default those of the chosen machine.
    """
    r, s, t = npu.mmul_shape
    values = asdict(times or timing(npu.name))
    values["ddr_directions_shared"] = int(values["ddr_directions_shared"])
    return {
        "num_columns": npu.num_columns,
        "num_rows": npu.num_rows,
        "generation": npu.generation,
        "burst_code": npu.burst_code,
        "stream_bytes_per_cycle": npu.stream_bytes_per_cycle,
        "mmul_r": r,
        "mmul_s": s,
        "mmul_t": t,
        "bf16_macs_per_cycle": npu.bf16_macs_per_cycle,
        "word_bytes": devices.WORD_BYTES,
        "bd_stride_bytes": devices.BD_STRIDE_BYTES,
        "lock_stride_bytes": devices.LOCK_STRIDE_BYTES,
        "axcache": devices.AXCACHE,
        "max_iterations": devices.MAX_ITERATIONS,
        "max_repeats": devices.MAX_REPEATS,
        "queue_depth": devices.QUEUE_DEPTH,
        "max_lock_value": devices.MAX_LOCK_VALUE,
        "max_buffer_arguments": devices.MAX_BUFFER_ARGUMENTS,
        "shim_controller_id": devices.SHIM_CONTROLLER_ID,
        "controller_bits": devices.CONTROLLER_BITS,
        "has_memtile_west": int(npu.generation == GENERATION_WITH_MEMTILE_WEST),
        **_of_tile(SHIM),
        **_of_tile(MEMTILE),
        **_of_tile(CORE),
        **{f"time.{name}": value for name, value in values.items()},
    }


def _of_tile(kind: TileKind) -> dict[str, int]:
    fields = {name: getattr(kind, name) for name in TILE_FIELDS}
    fields |= {name: int(getattr(kind.dma, name)) for name in DMA_FIELDS}
    return {f"{kind.name}.{name}": value for name, value in fields.items()}
