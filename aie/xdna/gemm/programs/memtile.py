"""A memtile of the GEMM array: buffers, locks, and the endless programs of its DMA.

Slices of A and B arrive from DDR into slots and leave in turn, tile by tile, in the
order of the cores' layouts. C takes the opposite way: each core of the column fills its
part of a block, and the parts leave as rows.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import MemRefType, bf16
from xdsl.ir import SSAValue

from xdna.devices import MEMTILE
from xdna.dialect.aie import BufferOp, MemTileDmaOp
from xdna.gemm.array import (
    A_CHANNEL,
    B_CHANNEL,
    IMAGE_TILE,
    IMAGE_TILE_SIZE,
    GemmArray,
)
from xdna.gemm.programs.dma import Channel, Transfer, dma_program
from xdna.gemm.programs.tile_parts import ELEMENT_TYPES, Values, locks_of, num_elements

FIRST_C_CHANNEL = 2  # S2MM, one for each core of the column

Dims = list[tuple[int, int]]


def add_memtile(array: GemmArray, column: int, tile: SSAValue) -> None:
    # A enters at a few columns only; every column has a B and a C.
    operands = ["b"] if column not in array.a_columns else ["a", "b"]
    shapes = {
        "a": MemRefType(bf16, [array.m, array.slice_k]),
        "b": MemRefType(bf16, [array.slice_k, array.n]),
        "c": MemRefType(ELEMENT_TYPES[array.out], [array.block_m, array.n]),
    }
    buffers: Values = {
        buffer.name: BufferOp(
            tile, shapes[buffer.name[0]], f"l2_{buffer.name}_{column}", buffer.address
        ).buffer
        for buffer in array.memtile_buffers.values()
        if buffer.name[0] in [*operands, "c"]
    }
    locks = locks_of(tile, _free_counts(array, operands), f"l2_{column}")
    channels = [
        channel
        for operand in operands
        for channel in _input_channels(array, buffers, locks, operand)
    ]
    channels += _c_channels(array, buffers, locks)
    MemTileDmaOp(tile, dma_program(MEMTILE.dma, channels))


def _free_counts(array: GemmArray, operands: Sequence[str]) -> dict[str, int]:
    """What each pair of semaphores counts as free at the start.

    Those of a resident operand come first, a pair for each slot, since the stream
    writes them.
    """
    counts = {}
    if array.resident in operands:
        slots = range(array.slots[array.resident])
        counts = {f"{array.resident}{slot}": 1 for slot in slots}
    for operand in operands:
        if operand != array.resident:
            counts[operand] = array.slots[operand] * _sends_per_slot(array)
    # Each core of the column fills its own part of C, so each part has its own locks.
    return counts | {f"c{row}": array.slots["c"] for row in range(array.num_rows)}


def _sends_per_slot(array: GemmArray) -> int:
    """Transfers that send a slot to the cores: from rows, one for each tile of k."""
    return 1 if array.is_tiled else array.slice_k // array.k


def _input_channels(
    array: GemmArray, buffers: Values, locks: Values, operand: str
) -> list[Channel]:
    """A memtile's way of A or B: in from DDR, out to the cores."""
    fills, sends = [], []
    count = _sends_per_slot(array)
    for slot in range(array.slots[operand]):
        buffer = buffers[f"{operand}_{slot}"]
        name = f"{operand}{slot}" if operand == array.resident else operand
        free, full = locks[f"{name}_free"], locks[f"{name}_full"]
        size = num_elements(buffer)
        fills.append(Transfer(buffer, size, free, full, amount=count))
        for index in range(count):
            offset, dims = _send_pattern(array, operand, index)
            sends.append(Transfer(buffer, size // count, full, free, offset, dims))
    incoming = {"a": A_CHANNEL, "b": B_CHANNEL}[operand]
    return [
        Channel("S2MM", incoming, fills),
        Channel("MM2S", array.memtile_sends[operand], sends),
    ]


def _send_pattern(
    array: GemmArray, operand: str, index: int
) -> tuple[int, Dims | None]:
    """Offset and (size, stride)s of the transfer of k tile `index` of a slot.

    Row-major slices become the L1 layouts of `matmul_bf16_f32`, blocks (r, s) of A and
    (s, t) of B, the matrix instruction's. Slices of image tiles arrive as [k/32][m/32]
    and stay so, but for parts of A's rows, which leave one after the other.
    """
    m, k, n, slice_k = array.m, array.k, array.n, array.slice_k
    if array.is_tiled:
        if operand == "b" or array.parts == 1:
            return 0, None
        per_k = k // IMAGE_TILE
        step = array.parts * IMAGE_TILE_SIZE  # from one 32 of k to the next
        return 0, [
            (slice_k // k, per_k * step),
            (array.parts, IMAGE_TILE_SIZE),
            (per_k, step),
            (IMAGE_TILE_SIZE, 1),
        ]
    r, s, t = array.device.mmul_shape
    if operand == "a":  # (m, slice_k) to [m/r][k/s][r][s]
        dims = [(m // r, r * slice_k), (k // s, s), (r, slice_k), (s, 1)]
        return index * k, dims
    if array.b_column_major:  # (n, slice_k) to [n/t][k/s][t][s]
        dims = [(n // t, t * slice_k), (k // s, s), (t, slice_k), (s, 1)]
        return index * k, dims
    # (slice_k, n) to [k/s][n/t][s][t]
    return index * k * n, [(k // s, s * n), (n // t, t), (s, n), (t, 1)]


def _c_channels(array: GemmArray, buffers: Values, locks: Values) -> list[Channel]:
    """A memtile's way of C: in from each core of the column, out to DDR in rows."""
    length = array.m * array.n  # elements of one core's part
    incoming = [
        Channel(
            "S2MM",
            FIRST_C_CHANNEL + row,
            [_c_part(buffers, locks, row, half, length) for half in "01"],
        )
        for row in range(array.num_rows)
    ]
    outgoing = [
        _c_part(buffers, locks, row, half, length, _c_dims(array))
        for half in "01"
        for row in range(array.num_rows)
    ]
    return [*incoming, Channel("MM2S", array.memtile_sends["c"], outgoing)]


def _c_part(
    buffers: Values,
    locks: Values,
    row: int,
    half: str,
    length: int,
    dims: Dims | None = None,
) -> Transfer:
    """The transfer that fills core `row`'s part of a memtile's C.

    With `dims` it is the one that sends the part to DDR.
    """
    free, full = locks[f"c{row}_free"], locks[f"c{row}_full"]
    acquire, release = (free, full) if dims is None else (full, free)
    return Transfer(buffers[f"c_{half}"], length, acquire, release, row * length, dims)


def _c_dims(array: GemmArray) -> Dims:
    """(size, stride)s that read one core's part of C, [m/r][n/t][r][t], row by row."""
    m, n = array.m, array.n
    r, _, t = array.device.mmul_shape
    return [(m // r, r * n), (r, t), (n // t, r * t), (t, 1)]
