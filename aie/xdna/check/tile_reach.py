"""The tiles whose data memory and locks a core or a DMA channel reaches."""

from xdna.check.placed_design import PlacedDesign, Tile
from xdna.devices import CORE, MEMTILE


def core_reach(design: PlacedDesign, tile: Tile) -> list[Tile]:
    """A core's own tile and its neighbours south, west and north; never a memtile."""
    column, row = tile
    near = [(column, row - 1), (column - 1, row), (column, row + 1)]
    return [tile, *(t for t in near if _is(design, t, CORE.name))]


def dma_reach(design: PlacedDesign, tile: Tile, channel: int) -> list[Tile]:
    """A DMA's own tile; a memtile's first channels reach the memtiles beside it too."""
    column, row = tile
    if channel >= design.kind(tile).dma.num_neighbour_channels:
        return [tile]
    near = [(column - 1, row), (column + 1, row)]
    return [tile, *(t for t in near if _is(design, t, MEMTILE.name))]


def _is(design: PlacedDesign, tile: Tile, kind: str) -> bool:
    return min(tile) >= 0 and design.has(tile) and design.kind(tile).name == kind
