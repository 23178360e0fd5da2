"""The NPUs as one table: every limit and address of the hardware that we rely on.

Times and most rates are in `timing.py`.

Sources: AMD AM020 and AM027 (architecture manuals and register references of AIE-ML and
its successor), aie-rt, mlir-aie's target model. Addresses are byte offsets within a
tile.
"""

import functools
from dataclasses import dataclass

WORD_BYTES = 4  # the smallest unit that a DMA moves

SHIM_ROW = 0
MEMTILE_ROW = 1
FIRST_CORE_ROW = 2


@dataclass(frozen=True)
class Dma:
    """A tile's DMA engine: channels, and the fields of its buffer descriptors (BDs)."""

    num_s2mm: int
    num_mm2s: int
    num_bds: int
    num_dims: int  # without the iteration
    wrap_bits: int  # a dimension's size; only the length bounds the outermost one
    step_bits: int  # a stride in words, less 1
    length_bits: int  # a transfer's length in words
    pad_bits: tuple[int, ...]  # zeros before and after, innermost dimension first
    bd_address: int  # BD i is BD_STRIDE_BYTES i further
    bd_words: int
    s2mm_control: int  # channel c is 8 c further
    mm2s_control: int  # as s2mm_control
    parity: bool = False  # even channels use the lower half of the BDs, odd the upper
    # So many channels, the first ones, also reach the tiles west and east.
    num_neighbour_channels: int = 0

    def num_channels(self, direction: str) -> int:
        return {"S2MM": self.num_s2mm, "MM2S": self.num_mm2s}[direction]

    def bd_ids(self, channel: int) -> range:
        """The BDs that a channel can use."""
        if not self.parity:
            return range(self.num_bds)
        half = self.num_bds // 2
        return range(half, self.num_bds) if channel % 2 else range(half)

    def control_address(self, direction: str, channel: int) -> int:
        base = {"S2MM": self.s2mm_control, "MM2S": self.mm2s_control}[direction]
        return base + 2 * WORD_BYTES * channel  # a control and a queue for each

    def queue_address(self, direction: str, channel: int) -> int:
        return self.control_address(direction, channel) + WORD_BYTES


BD_STRIDE_BYTES = 0x20
LOCK_STRIDE_BYTES = 16
AXCACHE = 2  # a field of a shim's BD: every transfer has this value
MAX_ITERATIONS = 64  # 6 bits in a BD
MAX_REPEATS = 256  # 8 bits in a queued task
QUEUE_DEPTH = 4  # tasks that a channel queues
MAX_LOCK_VALUE = 63  # 6 bits
MAX_BUFFER_ARGUMENTS = 5  # buffers of a run: tool versions differ beyond them
INSTRUCTION_BYTES = 16  # a core's longest instruction

# The linker puts .data, .rodata and .bss behind a core's last buffer (the linker script
# of mlir-aie 1.3). Its C runtime alone has 37 bytes of them (mlir-aie's issue 3560); a
# GEMM with nothing left was 161 bytes short (3406). Peano keeps constant vectors of 64
# bytes each there, and jump tables; our kernels have no tables of their own.
RUNTIME_DATA_BYTES = 64
CONSTANTS_BYTES = 1024  # for a core that runs kernels of unknown size


@dataclass(frozen=True)
class TileKind:
    """The kind of the tiles of a row: shim (towards DDR), memtile or core."""

    name: str
    memory_bytes: int
    num_banks: int
    program_bytes: int
    num_locks: int
    lock_address: int  # lock i is LOCK_STRIDE_BYTES i further
    dma: Dma
    # Ports of the stream switch by bundle: masters leave the tile, slaves enter it.
    masters: dict[str, int]
    slaves: dict[str, int]


SHIM = TileKind(
    name="shim",
    memory_bytes=0,
    num_banks=0,
    program_bytes=0,
    num_locks=16,
    lock_address=0x14000,
    dma=Dma(
        num_s2mm=2,
        num_mm2s=2,
        num_bds=16,
        num_dims=3,
        wrap_bits=10,
        step_bits=20,
        length_bits=32,
        pad_bits=(),
        bd_address=0x1D000,
        bd_words=8,
        s2mm_control=0x1D200,
        mm2s_control=0x1D210,
    ),
    # The DMA of a shim sits behind its south ports.
    masters={"South": 6, "West": 4, "North": 6, "East": 4},
    slaves={"South": 8, "West": 4, "North": 4, "East": 4},
)

MEMTILE = TileKind(
    name="memtile",
    memory_bytes=512 * 1024,
    num_banks=8,
    program_bytes=0,
    num_locks=64,
    lock_address=0xC0000,
    dma=Dma(
        num_s2mm=6,
        num_mm2s=6,
        num_bds=48,
        num_dims=4,
        wrap_bits=10,
        step_bits=17,
        length_bits=17,
        pad_bits=(6, 5, 4),
        bd_address=0xA0000,
        bd_words=8,
        s2mm_control=0xA0600,
        mm2s_control=0xA0630,
        parity=True,
        num_neighbour_channels=4,
    ),
    masters={"DMA": 6, "South": 4, "North": 6},
    slaves={"DMA": 6, "South": 6, "North": 4},
)

CORE = TileKind(
    name="core",
    memory_bytes=64 * 1024,
    num_banks=4,
    program_bytes=16 * 1024,
    num_locks=16,
    lock_address=0x1F000,
    dma=Dma(
        num_s2mm=2,
        num_mm2s=2,
        num_bds=16,
        num_dims=3,
        wrap_bits=8,
        step_bits=13,
        length_bits=14,
        pad_bits=(),
        bd_address=0x1D000,
        bd_words=6,
        s2mm_control=0x1DE00,
        mm2s_control=0x1DE10,
    ),
    masters={"DMA": 2, "South": 4, "West": 4, "North": 6, "East": 4},
    slaves={"DMA": 2, "South": 6, "West": 4, "North": 4, "East": 4},
)

SHIM_CONTROLLER_ID = 15  # mlir-aie gives it to shims; a token carries it
# Where a channel's control register holds that id.
CONTROLLER_BITS = 0x1F00
CONTROLLER_SHIFT = 8


@dataclass(frozen=True)
class Device:
    """One NPU, or the first columns of one."""

    name: str
    num_columns: int
    mlir_number: int  # in the enumeration AIEDevice of mlir-aie 1.3
    generation: int  # as in the header of an instruction stream
    triple: str  # the compiler's name of the target
    stream_bytes_per_cycle: int
    min_clock_hz: float  # in the lowest power mode
    burst_code: int  # a BD field: the longest burst to DDR, the default
    # The bf16 matrix instruction's r, s, t: it multiplies (r, s) by (s, t).
    mmul_shape: tuple[int, int, int]
    bf16_macs_per_cycle: int  # one core, exact arithmetic
    num_rows: int = 6

    @property
    def burst_lengths(self) -> tuple[int, ...]:
        """Bytes of a shim's bursts to DDR, by the code in its BDs."""
        return tuple(64 << code for code in range(self.burst_code + 1))

    @property
    def num_core_rows(self) -> int:
        return self.num_rows - FIRST_CORE_ROW

    def tile(self, column: int, row: int) -> TileKind:
        """The kind of a tile.

        Raises:
          ValueError: if the device has no such tile.
        """
        if not (0 <= column < self.num_columns and 0 <= row < self.num_rows):
            raise ValueError(
                f"{self.name} has columns 0-{self.num_columns - 1} and rows "
                f"0-{self.num_rows - 1}, got tile ({column}, {row})"
            )
        return (SHIM, MEMTILE)[row] if row < FIRST_CORE_ROW else CORE


def _npu1(name: str, num_columns: int, mlir_number: int) -> Device:
    return Device(
        name=name,
        num_columns=num_columns,
        mlir_number=mlir_number,
        generation=3,
        triple="aie2-none-unknown-elf",
        stream_bytes_per_cycle=4,
        min_clock_hz=0.8e9,
        burst_code=2,
        mmul_shape=(4, 8, 4),
        bf16_macs_per_cycle=128,
    )


def _npu2(name: str, num_columns: int, mlir_number: int) -> Device:
    return Device(
        name=name,
        num_columns=num_columns,
        mlir_number=mlir_number,
        generation=4,
        triple="aie2p-none-unknown-elf",
        stream_bytes_per_cycle=8,
        min_clock_hz=0.792e9,
        burst_code=3,
        mmul_shape=(8, 8, 8),
        bf16_macs_per_cycle=32,  # nominally 512 with bfp16's shared exponents
    )


DEVICES = {
    device.name: device
    for device in (
        _npu1("npu1", 4, 4),
        *(_npu1(f"npu1_{n}col", n, 4 + n) for n in (1, 2, 3)),
        _npu2("npu2", 8, 8),
        *(_npu2(f"npu2_{n}col", n, 8 + n) for n in range(1, 8)),
    )
}


@functools.cache
def device(name: str) -> Device:
    """The device with that name.

    Raises:
      ValueError: if there is none.
    """
    if name not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {name!r}")
    return DEVICES[name]
