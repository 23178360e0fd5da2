"""The one static configuration of the array that serves every GEMM.

Core (column c, row r) computes tiles (m, n) of C = A B. A's row blocks enter at four
columns and are broadcast along the core rows; B's column block c enters at column c
and is broadcast down it; the cores of a column send C to its memtile, which writes it
to DDR. Shapes differ only in the shims' transfers, in a few words for every core, and
in locks of memtiles.
"""

from dataclasses import dataclass
from functools import cached_property

from xdna.devices import CONSTANTS_BYTES, CORE, MEMTILE, WORD_BYTES, Device, device
from xdna.gemm.memory import (
    STACK_BYTES,
    Buffer,
    place_in_a_row,
    place_in_core,
)

# The (m, k, n) of one core in Rösti & Franz (arXiv 2504.03083), for rows.
TILE = (64, 64, 32)

ELEMENT_BYTES = {"bfloat16": 2, "float32": 4}
INPUT_BYTES = ELEMENT_BYTES["bfloat16"]
ACCUMULATOR_BYTES = ELEMENT_BYTES["float32"]

# How A and B lie in DDR:
# * rows: row-major matrices,
# * packed_b: A in rows, B as the tiles (k, n) that a column takes, one after the other,
# * tiles: square tiles of IMAGE_TILE, in blocks of 8 x 8, so that one image serves as A
#   and as B, transposed or not.
IMAGES = ("rows", "packed_b", "tiles")
IMAGE_TILE = 16
IMAGE_TILE_SIZE = IMAGE_TILE * IMAGE_TILE  # elements

# The words of a core's parameter buffer, in rows and packed_b.
NUM_TILES_PARAMETER = 0  # tiles of C that the core computes in a run
NUM_K_STEPS_PARAMETER = 1  # k tiles that each of them sums
NUM_PARAMETERS = 2
GO_LOCK = 6  # a core's lock: the host has written the parameters

# Positions of the operands among a run's buffers, and their shim channels.
A_ARGUMENT, B_ARGUMENT, C_ARGUMENT = range(3)
A_CHANNEL, B_CHANNEL, C_CHANNEL = 0, 1, 0  # MM2S, MM2S, S2MM

# Slots of a memtile in `tiles`: at most so many for the operand that can stay there,
# since BDs are few, and those of another.
MAX_RESIDENT_SLOTS = 12
PASSING_SLOTS = 4


@dataclass(frozen=True)
class GemmArray:
    """A device, the tile (m, k, n) of one core, and how operands and sums are kept.

    Args:
      out: type of C in DDR.
      b_column_major: B lies as (n, k); in `rows` alone.
      images: how A and B lie in DDR, see `IMAGES`.
      parts: parts of its rows in which a core takes a tile of A and hands over C; in
        `tiles` alone. Each part of C leaves while the others are still summed.
      c_buffers: buffers of C in a core, 1 or 2; 0 for two where banks hold them.
      k_slice: k of the operands that a memtile takes into a slot, a multiple of k; 0
        for k. In `rows`, rows of that length are runs in DDR.
      resident: the operand, a or b, that can stay in the memtiles while the other
        passes several times, or "" for none; in `tiles` alone.
      resident_slots: slices of it that a memtile holds. Those of one or more blocks
        must fill them.
      replays: times that a resident operand's slots are sent, fixed in the design, for
        published designs that fix it; 1 leaves it to the stream.
      sums: type in which C is kept between k tiles. bfloat16 is less exact than
        everything that this project computes, and serves to be compared with
        published designs; C is then bfloat16, too.
      stack_bytes: of a core's program.

    Raises:
      ValueError: if the tile does not suit the kernels, or does not fit a core's or a
        memtile's memory.
    """

    device_name: str
    m: int = TILE[0]
    k: int = TILE[1]
    n: int = TILE[2]
    out: str = "float32"
    b_column_major: bool = False  # B lies as (n, k)
    images: str = "rows"
    parts: int = 1
    c_buffers: int = 0
    k_slice: int = 0
    resident: str = ""
    resident_slots: int = MAX_RESIDENT_SLOTS
    replays: int = 1
    sums: str = "float32"
    stack_bytes: int = STACK_BYTES

    def __post_init__(self) -> None:
        if self.device.num_columns < self.num_rows:
            raise ValueError(
                f"the GEMM design needs {self.num_rows} columns, one for each block of "
                f"A's rows; {self.device_name} has {self.device.num_columns}"
            )
        for what, value, known in (
            ("C", self.out, tuple(ELEMENT_BYTES)),
            ("sums", self.sums, tuple(ELEMENT_BYTES)),
            ("images", self.images, IMAGES),
            ("c_buffers", self.c_buffers, (0, 1, 2)),
            ("resident", self.resident, ("", "a", "b")),
        ):
            if value not in known:
                raise ValueError(
                    f"{what} must be {' or '.join(map(str, known))}, got {value!r}"
                )
        multiples = (("m", 16), ("k", 8), ("n", 16))
        if self.is_tiled:
            multiples = (("m", IMAGE_TILE), ("k", IMAGE_TILE), ("n", IMAGE_TILE))
        for name, multiple in multiples:
            size = getattr(self, name)
            if size < 1 or size % multiple:
                raise ValueError(
                    f"the kernels need {name} to be a multiple of {multiple}, "
                    f"got {size}"
                )
        self._check_combination()
        _ = self.core_buffers, self.memtile_buffers  # raise where they do not fit

    def _check_combination(self) -> None:
        if self.k_slice < 0 or self.k_slice % self.k:
            raise ValueError(
                f"k_slice must be a multiple of k = {self.k}, got {self.k_slice}"
            )
        if not 1 <= self.resident_slots <= MAX_RESIDENT_SLOTS:
            raise ValueError(
                f"resident_slots must be 1 to {MAX_RESIDENT_SLOTS}, got "
                f"{self.resident_slots}"
            )
        if self.resident and not self.is_tiled:
            raise ValueError(f"an operand can be resident in tiles, not {self.images}")
        if self.b_column_major and self.images != "rows":
            raise ValueError(f"b_column_major is of rows, got {self.images}")
        if self.sums == "bfloat16" and (self.out != "bfloat16" or self.is_tiled):
            raise ValueError("sums in bfloat16 need C in bfloat16, and no tiles")
        if self.parts < 1 or (self.parts > 1 and not self.is_tiled):
            raise ValueError(f"parts must be 1, or more in tiles, got {self.parts}")
        if self.is_tiled and self.m % (self.parts * IMAGE_TILE):
            raise ValueError(
                f"parts of m = {self.m} must be multiples of {IMAGE_TILE} rows, got "
                f"{self.parts} parts"
            )
        if self.parts * (self.c_buffers or 1) > self._max_c_buffers:
            raise ValueError(
                f"a core has BDs for {self._max_c_buffers} parts of C, got "
                f"{self.parts} parts and {self.c_buffers or 1} buffers of C"
            )

    @cached_property
    def device(self) -> Device:
        return device(self.device_name)

    @cached_property
    def num_columns(self) -> int:
        return self.device.num_columns

    @cached_property
    def num_rows(self) -> int:
        return self.device.num_core_rows

    @cached_property
    def block_m(self) -> int:
        """Rows of C that the whole array computes at once."""
        return self.num_rows * self.m

    @cached_property
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

    @property
    def is_tiled(self) -> bool:
        return self.images == "tiles"

    @property
    def part_m(self) -> int:
        """Rows of A that a core takes at once."""
        return self.m // self.parts

    @property
    def num_a_buffers(self) -> int:
        """Buffers of a core for parts of A, at least two.

        Their number divides that of the parts where it can, so that a part always comes
        into the same buffer: the core's program is half as long then.
        """
        return 3 if self.parts % 2 and self.parts % 3 == 0 else 2

    @property
    def _max_c_buffers(self) -> int:
        """A core's BDs but for the buffers of A and two of B."""
        return CORE.dma.num_bds - self.num_a_buffers - 2

    @property
    def slice_k(self) -> int:
        """k of one slot of a memtile."""
        return self.k_slice or self.k

    @property
    def num_parameters(self) -> int:
        return 1 if self.is_tiled else NUM_PARAMETERS

    @property
    def slots(self) -> dict[str, int]:
        """Slots of A, of B and of C in a memtile."""
        if not self.is_tiled:
            return dict.fromkeys("abc", 2)
        slots = {"a": PASSING_SLOTS, "b": PASSING_SLOTS, "c": 2}
        return slots | ({self.resident: self.resident_slots} if self.resident else {})

    @property
    def memtile_sends(self) -> dict[str, int]:
        """The MM2S channels of a memtile, by what they send.

        Even and odd channels have 24 BDs each, also those of S2MM: A has 0, B has 1, C
        has one of 2-5 for each core. A resident operand fills half of one kind with its
        slots.
        """
        return {
            "": {"a": 0, "b": 1, "c": 2},
            "a": {"a": 1, "b": 3, "c": 2},
            "b": {"a": 2, "b": 0, "c": 1},
        }[self.resident]

    @cached_property
    def core_buffers(self) -> dict[str, Buffer]:
        """The data memory of every core."""
        one_c, two_c = self._core_sizes(1), self._core_sizes(2)
        choices = {0: (two_c, one_c), 1: (one_c,), 2: (two_c,)}[self.c_buffers]
        if 2 * self.parts > self._max_c_buffers:
            choices = (one_c,)
        # A buffer that crosses a border is in the way of two banks' accesses, so one C
        # buffer within a bank is better than two across.
        for bank_bytes in (CORE.memory_bytes // CORE.num_banks, CORE.memory_bytes):
            for sizes in choices:
                if (
                    buffers := place_in_core(sizes, bank_bytes, self.stack_bytes)
                ) is not None:
                    return buffers
        left = CORE.memory_bytes - self.stack_bytes - CONSTANTS_BYTES
        raise ValueError(
            f"a core has {CORE.memory_bytes} bytes, of which the stack takes "
            f"{self.stack_bytes} and the kernels' constants {CONSTANTS_BYTES}; the "
            f"buffers of tile ({self.m}, {self.k}, {self.n}) with C in {self.out} need "
            f"{sum(choices[-1].values())} of the {left} left and do not fit; take a "
            "smaller tile"
        )

    def _core_sizes(self, num_c: int) -> dict[str, int]:
        """Bytes of a core's buffers, with room for C once or twice."""
        sizes = {"parameters": WORD_BYTES * self.num_parameters}
        for index in range(self.num_a_buffers):  # parts (part_m, k)
            sizes[f"a_{index}"] = self.part_m * self.k * INPUT_BYTES
        for index in range(2):  # tiles (k, n)
            sizes[f"b_{index}"] = self.k * self.n * INPUT_BYTES
        part = self.part_m * self.n
        for index in range(num_c * self.parts):
            sizes[f"c_{index}"] = part * self.out_bytes
        if self.out != self.sums:  # sums of all of k, converted once to C's type
            for index in range(self.parts):
                sizes[self.accumulator(index)] = part * ACCUMULATOR_BYTES
        return sizes

    def accumulator(self, part: int) -> str:
        """The name of the buffer for a part's sums where they are not C."""
        return "accumulator" if self.parts == 1 else f"accumulator_{part}"

    @property
    def num_c_buffers(self) -> int:
        """Times that a core has room for all of its C."""
        return sum(name.startswith("c_") for name in self.core_buffers) // self.parts

    @cached_property
    def memtile_buffers(self) -> dict[str, Buffer]:
        """The data memory of every memtile; one without A leaves its place empty."""
        # C has the tiles of all cores of the column.
        sizes = {
            "a": self.m * self.slice_k * INPUT_BYTES,
            "b": self.slice_k * self.n * INPUT_BYTES,
            "c": self.block_m * self.n * self.out_bytes,
        }
        slots = {
            f"{name}_{slot}": sizes[name]
            for name, count in self.slots.items()
            for slot in range(count)
        }
        buffers = place_in_a_row(slots)
        needed = max(one.address + one.num_bytes for one in buffers.values())
        if needed > MEMTILE.memory_bytes:
            raise ValueError(
                f"a memtile has {MEMTILE.memory_bytes} bytes, the buffers of tile "
                f"({self.m}, {self.k}, {self.n}) need {needed}"
            )
        return buffers


def default_array(device_name: str, out: str = "float32") -> GemmArray:
    """The design that backends use, for C of type `out`.

    The best of `jax-npu design --search` for the training steps of GPT-2 124M.
    """
    k, n, slots = (128, 64, 6) if out == "float32" else (64, 64, 12)
    if device(device_name).name.startswith("npu2"):
        k, n, slots = (64, 96, 4) if out == "float32" else (32, 96, 8)
    return GemmArray(
        device_name,
        64,
        k,
        n,
        out,
        images="tiles",
        parts=4,
        resident="b",
        resident_slots=slots,
    )
