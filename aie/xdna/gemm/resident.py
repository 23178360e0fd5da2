"""An operand that stays in the memtiles: the locks that the stream writes for it.

Its memtiles' slots form a ring. Each slot has a lock that counts the passes for which
it is full, and one that says that it is free. Loading a slot makes it full for one
pass, as in every run. Once that first pass is done, and the memtile waits, the stream
writes the number of further passes into all full locks; at the end of the period it
writes the free locks as one pass would have left them. Both are only right where the
ring begins at its first slot, so runs that pass over the ring any other number of times
bring it back, with tiles that the cores take and leave.
"""

import numpy as np

from xdna.devices import LOCK_STRIDE_BYTES, MEMTILE, MEMTILE_ROW
from xdna.gemm.array import GemmArray
from xdna.gemm.runs import Run
from xdna.stream.instructions import tile_address, write_words


def starts_of_passes(array: GemmArray, count: int) -> np.ndarray:
    """Writes that let `count` more passes over the resident operand begin."""
    slots = range(array.slots[array.resident])
    return write_words(_addresses(array, [_full(slot) for slot in slots]), count)


def end_of_period(array: GemmArray) -> np.ndarray:
    """Writes after which the resident operand's slots can be loaded again."""
    # The memtile has already taken the first slot's, and waits for data.
    first, *others = range(array.slots[array.resident])
    return np.concatenate(
        [
            write_words(_addresses(array, [_free(first)]), 0),
            write_words(_addresses(array, [_free(slot) for slot in others]), 1),
        ]
    )


def passes_over(array: GemmArray, run: Run, k_steps: int) -> int:
    """Slices that end a run without a resident operand at the ring's first slot."""
    if not array.resident or array.replays > 1 or run.resident:
        return 0
    used = run.num_tiles * k_steps * array.k // array.slice_k
    return -used % array.slots[array.resident]


def memtile_columns(array: GemmArray) -> tuple[int, ...]:
    """The columns of the memtiles that hold the resident operand."""
    return array.a_columns if array.resident == "a" else tuple(range(array.num_columns))


def _addresses(array: GemmArray, locks: list[int]) -> np.ndarray:
    offsets = [MEMTILE.lock_address + LOCK_STRIDE_BYTES * lock for lock in locks]
    columns = memtile_columns(array)
    return np.array(
        [tile_address(c, MEMTILE_ROW, offset) for c in columns for offset in offsets]
    )


# Locks come in pairs, those of the resident operand first: see `programs.memtile`.
def _free(slot: int) -> int:
    return 2 * slot


def _full(slot: int) -> int:
    return 2 * slot + 1
