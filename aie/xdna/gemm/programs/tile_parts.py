"""What memtiles and cores of the GEMM array have in common: types, locks, buffers."""

from collections.abc import Mapping

from xdsl.dialects.builtin import MemRefType, bf16, f32
from xdsl.ir import SSAValue

from xdna.dialect.aie import LockOp

ELEMENT_TYPES = {"bfloat16": bf16, "float32": f32}

Values = Mapping[str, SSAValue]
Dims = list[tuple[int, int]]  # (size, stride)s in elements, outermost first


def locks_of(
    tile: SSAValue, free: Mapping[str, int], prefix: str
) -> dict[str, SSAValue]:
    """Two semaphores for each name: one counts its free halves, one its full ones."""
    locks: dict[str, SSAValue] = {}
    for index, (name, count) in enumerate(free.items()):
        for offset, (state, init) in enumerate((("free", count), ("full", 0))):
            key = f"{name}_{state}"
            # ids in pairs: 0 and 1 for the first name, 2 and 3 for the second, ...
            lock = LockOp(tile, 2 * index + offset, init, f"{prefix}_{key}")
            locks[key] = lock.result
    return locks


def num_elements(buffer: SSAValue) -> int:
    assert isinstance(buffer.type, MemRefType)
    return buffer.type.element_count()
