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
from xdna.gemm.programs.tile_parts import (
    ELEMENT_TYPES,
    Dims,
    Values,
    locks_of,
    num_elements,
)

FIRST_C_CHANNEL = 2  # S2MM, one for each core of the column


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
        counts = {f"{array.resident}{slot}": array.replays for slot in slots}
    for operand in operands:
        if operand != array.resident:
            counts[operand] = array.slots[operand]
    # Each core of the column fills its own part of C, so each part has its own locks.
    return counts | {f"c{row}": array.slots["c"] for row in range(array.num_rows)}


def _input_channels(
    array: GemmArray, buffers: Values, locks: Values, operand: str
) -> list[Channel]:
    """A memtile's way of A or B: in from DDR, out to the cores."""
    fills, sends = [], []
    dims = _send_dims(array, operand)
    for slot in range(array.slots[operand]):
        buffer = buffers[f"{operand}_{slot}"]
        size = num_elements(buffer)
        is_resident = operand == array.resident
        name = f"{operand}{slot}" if is_resident else operand
        free, full = locks[f"{name}_free"], locks[f"{name}_full"]
        amount = array.replays if is_resident else 1
        fills.append(Transfer(buffer, size, free, full, amount=amount))
        sends.append(Transfer(buffer, size, full, free, dims=dims))
    incoming = {"a": A_CHANNEL, "b": B_CHANNEL}[operand]
    return [
        Channel("S2MM", incoming, fills),
        Channel("MM2S", array.memtile_sends[operand], sends),
    ]


def _send_dims(array: GemmArray, operand: str) -> Dims | None:
    """(size, stride)s in which a slot leaves for the cores.

    Row-major slices leave as blocks (r, s) of A and (s, t) of B, those of the matrix
    instruction, in the order of the L1 layouts; `core_dims` does the rest where a slice
    has several tiles of k. Slices of image tiles arrive as [k/16][m/16] and stay so,
    but for parts of A's rows, which leave one after the other.
    """
    m, k, n, slice_k = array.m, array.k, array.n, array.slice_k
    if array.is_tiled:
        if operand == "b" or array.parts == 1:
            return None
        per_k = k // IMAGE_TILE
        part = array.part_m // IMAGE_TILE * IMAGE_TILE_SIZE
        step = array.parts * part  # from one 16 of k to the next
        return [
            (slice_k // k, per_k * step),
            (array.parts, part),
            (per_k, step),
            (part, 1),
        ]
    r, s, t = array.device.mmul_shape
    if operand == "b" and not array.b_column_major:
        # (slice_k, n) to [slice_k/s][n/t][s][t]
        return [(slice_k // s, s * n), (n // t, t), (s, n), (t, 1)]
    free, block = (m, r) if operand == "a" else (n, t)
    if slice_k == k:  # (free, k) to [free/block][k/s][block][s]
        return [(free // block, block * k), (k // s, s), (block, k), (s, 1)]
    # (free, slice_k) to [slice_k/k][k/s][free][s]
    return [(slice_k // k, k), (k // s, s), (free, slice_k), (s, 1)]


def core_dims(array: GemmArray, operand: str) -> Dims | None:
    """(size, stride)s in which a core stores a tile of A or B as it arrives."""
    if array.is_tiled or array.slice_k == array.k:
        return None
    if operand == "b" and not array.b_column_major:
        return None
    r, s, t = array.device.mmul_shape
    free, block = (array.m, r) if operand == "a" else (array.n, t)
    # [k/s][free][s] to [free/block][k/s][block][s]
    return [
        (array.k // s, block * s),
        (free // block, block * array.k),
        (block * s, 1),
    ]


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
