"""A placed design by tile, and the record of a limit that it breaks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from xdsl.dialects.builtin import FixedBitwidthType, MemRefType
from xdsl.ir import Attribute, Operation, OpResult, SSAValue

from xdna.devices import Device, TileKind
from xdna.dialect.aie import BufferOp, DeviceOp, LockOp, TileOp

Tile = tuple[int, int]  # column, row
OpT = TypeVar("OpT", bound=Operation)


@dataclass(frozen=True)
class Violation:
    """A limit of the hardware that a design breaks."""

    tile: Tile | None
    resource: str
    needed: int | str
    limit: int | str
    message: str

    def __str__(self) -> str:
        where = "design" if self.tile is None else f"tile {self.tile}"
        return (
            f"{where}: {self.resource}: needs {self.needed}, limit {self.limit}: "
            f"{self.message}"
        )


@dataclass(frozen=True)
class PlacedDesign:
    """The operations of a design, by tile."""

    op: DeviceOp
    device: Device
    is_placed: bool = True  # every buffer, lock and BD must have its place
    # Sizes of the objects that cores link, by `link_with`.
    program_bytes: dict[str, int] = field(default_factory=dict)
    data_bytes: dict[str, int] = field(default_factory=dict)

    @cached_property
    def _ops(self) -> list[Operation]:
        return [op for block in self.op.body.blocks for op in block.ops]

    def ops(self, kind: type[OpT]) -> list[OpT]:
        return [op for op in self._ops if isinstance(op, kind)]

    def tile(self, value: SSAValue) -> Tile | None:
        """The tile of an `aie.tile`; None for others and for tiles out of range."""
        op = value.op if isinstance(value, OpResult) else None
        if not isinstance(op, TileOp):
            return None
        tile = op.col.value.data, op.row.value.data
        return tile if self.has(tile) else None

    def has(self, tile: Tile) -> bool:
        column, row = tile
        return column < self.device.num_columns and row < self.device.num_rows

    def kind(self, tile: Tile) -> TileKind:
        return self.device.tile(*tile)

    def on_tiles(self, kind: type[OpT]) -> Iterator[tuple[Tile, OpT]]:
        """Operations of a kind, each with its tile; those out of range are left out."""
        for op in self.ops(kind):
            tile = self.tile(op.tile)  # type: ignore[attr-defined]
            if tile is not None:
                yield tile, op


def buffer_of(value: SSAValue) -> BufferOp | None:
    op = value.op if isinstance(value, OpResult) else None
    return op if isinstance(op, BufferOp) else None


def lock_of(value: SSAValue) -> LockOp | None:
    op = value.op if isinstance(value, OpResult) else None
    return op if isinstance(op, LockOp) else None


def element_bytes(type: Attribute) -> int:
    """Bytes of a memref's element; 0 if it does not have whole bytes."""
    assert isinstance(type, MemRefType)
    element = type.element_type
    bits = element.bitwidth if isinstance(element, FixedBitwidthType) else 0
    return 0 if bits % 8 else bits // 8


def name_of(op: BufferOp | LockOp) -> str:
    return "?" if op.sym_name is None else op.sym_name.data
