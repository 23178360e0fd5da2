"""The one static configuration of the array that serves every GEMM.

Core (column c, row r) computes tiles (m, n) of C = A B. A's row blocks enter at four
columns and are broadcast along the core rows; B's column block c enters at column c
and is broadcast down it; the cores of a column send C to its memtile, which writes it
to DDR. Shapes differ only in the shims' transfers and in two parameters of every core.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from xdna.devices import CONSTANTS_BYTES, CORE, MEMTILE, WORD_BYTES, Device, device

# The stack of a core's GEMM program, as large as in mlir-aie's designs.
STACK_BYTES = 0xD00
ALIGNMENT_BYTES = 32  # a core's vector loads need it

# The default (m, k, n) of one core, as in Rösti & Franz (arXiv 2504.03083). Two buffers
# of C in f32 fit, and a training step is padded half as much as by 64 x 64 x 64.
TILE = (64, 64, 32)

ELEMENT_BYTES = {"bfloat16": 2, "float32": 4}
INPUT_BYTES = ELEMENT_BYTES["bfloat16"]
ACCUMULATOR_BYTES = ELEMENT_BYTES["float32"]

# Positions of the words in a core's parameter buffer.
NUM_TILES_PARAMETER = 0  # tiles of C that the core computes in a run
NUM_K_STEPS_PARAMETER = 1  # k tiles that each of them sums
NUM_PARAMETERS = 2
GO_LOCK = 6  # a core's lock: the host has written the parameters

# Positions of the operands among a run's buffers, and their shim channels.
A_ARGUMENT, B_ARGUMENT, C_ARGUMENT = range(3)
A_CHANNEL, B_CHANNEL, C_CHANNEL = 0, 1, 0  # MM2S, MM2S, S2MM


@dataclass(frozen=True)
class Buffer:
    """A buffer in a tile's data memory."""

    name: str
    address: int
    num_bytes: int


@dataclass(frozen=True)
class GemmArray:
    """A device, the tile (m, k, n) of one core, and the type of C.

    Raises:
      ValueError: if the tile does not suit the kernels, or does not fit a core's or a
        memtile's memory.
    """

    device_name: str
    m: int = 64
    k: int = 64
    n: int = 64
    out: str = "float32"
    b_column_major: bool = False  # B lies as (n, k)

    def __post_init__(self) -> None:
        if self.device.num_columns < self.num_rows:
            raise ValueError(
                f"the GEMM design needs {self.num_rows} columns, one for each block of "
                f"A's rows; {self.device_name} has {self.device.num_columns}"
            )
        if self.out not in ELEMENT_BYTES:
            raise ValueError(
                f"C must be {' or '.join(ELEMENT_BYTES)}, got {self.out!r}"
            )
        for name, multiple in (("m", 16), ("k", 8), ("n", 16)):
            size = getattr(self, name)
            if size < 1 or size % multiple:
                raise ValueError(
                    f"the kernels need {name} to be a multiple of {multiple}, "
                    f"got {size}"
                )
        _ = self.core_buffers, self.memtile_buffers  # raise where they do not fit

    @property
    def device(self) -> Device:
        return device(self.device_name)

    @property
    def num_columns(self) -> int:
        return self.device.num_columns

    @property
    def num_rows(self) -> int:
        return self.device.num_core_rows

    @property
    def block_m(self) -> int:
        """Rows of C that the whole array computes at once."""
        return self.num_rows * self.m

    @property
    def block_n(self) -> int:
        """Columns of C that the whole array computes at once."""
        return self.num_columns * self.n

    @property
    def a_columns(self) -> tuple[int, ...]:
        """The column at which the A tiles of each core row enter: spread evenly."""
        return tuple(
            row * self.num_columns // self.num_rows for row in range(self.num_rows)
        )

    @property
    def out_bytes(self) -> int:
        return ELEMENT_BYTES[self.out]

    @cached_property
    def core_buffers(self) -> dict[str, Buffer]:
        """The data memory of every core, with two C buffers where banks hold them.

        The end is left to the linker, which puts constants behind the last buffer.
        """
        one_c = self._core_sizes()
        two_c = one_c | {"c_1": one_c["c_0"]}
        # A buffer that crosses a border is in the way of two banks' accesses, so one C
        # buffer within a bank is better than two across.
        for bank_bytes in (CORE.memory_bytes // CORE.num_banks, CORE.memory_bytes):
            for sizes in (two_c, one_c):
                if (buffers := _place_in_banks(sizes, bank_bytes)) is not None:
                    return buffers
        left = CORE.memory_bytes - STACK_BYTES - CONSTANTS_BYTES
        raise ValueError(
            f"a core has {CORE.memory_bytes} bytes, of which the stack takes "
            f"{STACK_BYTES} and the kernels' constants {CONSTANTS_BYTES}; the buffers "
            f"of tile ({self.m}, {self.k}, {self.n}) with C in {self.out} need "
            f"{sum(one_c.values())} of the {left} left and do not fit; take a smaller "
            "tile"
        )

    def _core_sizes(self) -> dict[str, int]:
        """Bytes of a core's buffers, with one for C."""
        # A and B are double buffers: tiles (m, k) and (k, n).
        sizes = {
            "parameters": WORD_BYTES * NUM_PARAMETERS,
            "a_0": self.m * self.k * INPUT_BYTES,
            "a_1": self.m * self.k * INPUT_BYTES,
            "b_0": self.k * self.n * INPUT_BYTES,
            "b_1": self.k * self.n * INPUT_BYTES,
            "c_0": self.m * self.n * self.out_bytes,
        }
        if self.out != "float32":  # sums of all of k, converted once to C's type
            sizes["accumulator"] = self.m * self.n * ACCUMULATOR_BYTES
        return sizes

    @property
    def num_c_buffers(self) -> int:
        return 1 + ("c_1" in self.core_buffers)

    @cached_property
    def memtile_buffers(self) -> dict[str, Buffer]:
        """The data memory of every memtile; one without A leaves its place empty."""
        # All are double buffers. C has the tiles of all cores of the column.
        sizes = {
            "a": self.m * self.k * INPUT_BYTES,
            "b": self.k * self.n * INPUT_BYTES,
            "c": self.block_m * self.n * self.out_bytes,
        }
        buffers, address = {}, 0
        for name, num_bytes in sizes.items():
            for half in "01":
                key = f"{name}_{half}"
                buffers[key] = Buffer(key, address, num_bytes)
                address = _align(address + num_bytes)
        if address > MEMTILE.memory_bytes:
            raise ValueError(
                f"a memtile has {MEMTILE.memory_bytes} bytes, the buffers of tile "
                f"({self.m}, {self.k}, {self.n}) need {address}"
            )
        return buffers


def _align(address: int) -> int:
    return -(-address // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _place_in_banks(sizes: dict[str, int], bank_bytes: int) -> dict[str, Buffer] | None:
    """The buffers' places, or None if they do not fit.

    From the largest to the smallest, each lies at the lowest address where it crosses
    no border between banks. A buffer larger than a bank begins at a border.
    """
    placed = [Buffer("stack", 0, STACK_BYTES)]
    for name, num_bytes in sorted(sizes.items(), key=lambda item: -item[1]):
        address = _first_gap(placed, num_bytes, bank_bytes)
        if address + num_bytes > CORE.memory_bytes - CONSTANTS_BYTES:
            return None
        placed.append(Buffer(name, address, num_bytes))
    return {buffer.name: buffer for buffer in placed[1:]}


def _first_gap(placed: Iterable[Buffer], num_bytes: int, bank_bytes: int) -> int:
    address = 0
    for buffer in sorted(placed, key=lambda buffer: buffer.address):
        address = _within_bank(address, num_bytes, bank_bytes)
        if address + num_bytes <= buffer.address:
            return address
        address = max(address, _align(buffer.address + buffer.num_bytes))
    return _within_bank(address, num_bytes, bank_bytes)


def _within_bank(address: int, num_bytes: int, bank_bytes: int) -> int:
    # Bytes up to the next border. `address` is at least on the next one if they are
    # too few, and stays where it is if it is on one.
    room = bank_bytes - address % bank_bytes
    return address if num_bytes <= room else address + room % bank_bytes
