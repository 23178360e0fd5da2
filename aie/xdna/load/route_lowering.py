"""The flows of a design as `route` and `packet_route` lines of a configuration."""

from collections.abc import Iterator, Sequence

from xdna.check.placed_design import PlacedDesign
from xdna.check.routes import Port, circuit_flows, packet_ports
from xdna.dialect.aie import PacketDestOp, PacketFlowOp, PacketSourceOp
from xdna.dialect.foreign.ops import ConfigureCascadeOp


def route_lines(design: PlacedDesign) -> Iterator[Sequence[object]]:
    """One line for each receiver of each sender, or of each of its packet IDs.

    Raises:
      ValueError: naming the flow, if a configuration has no such port.
    """
    for flow in design.ops(PacketFlowOp):
        keeps = flow.keep_pkt_header
        end = flow.id.value.data, int(keeps is not None and bool(keeps.value.data))
        for source in packet_ports(design, flow, PacketSourceOp):
            for destination in packet_ports(design, flow, PacketDestOp):
                # The engine delivers tokens to the controller without a route.
                if (source.bundle, destination.bundle) == ("TileControl", "South"):
                    continue
                yield "packet_route", *_ends("packet flow", source, destination), *end
    for source, destinations in circuit_flows(design).items():
        for destination in destinations:
            yield "route", *_ends("flow", source, destination)


def cascade_lines(design: PlacedDesign) -> Iterator[Sequence[object]]:
    """The cascades between cores that both name each other."""
    ways = {tile: op.directions for tile, op in design.on_tiles(ConfigureCascadeOp)}
    for tile, (_, goes_to) in ways.items():
        columns, rows = NEIGHBOURS[goes_to]
        to = tile[0] + columns, tile[1] + rows
        if to not in ways:
            continue
        columns, rows = NEIGHBOURS[ways[to][0]]
        if (to[0] + columns, to[1] + rows) == tile:
            yield "cascade", *tile, *to


# The word for a port that sends, or that receives, before its number.
SENDERS = {
    "DMA": "{}",
    "TileControl": "control",
    "Trace": "trace{}",
    "Core": "core{}",
}
RECEIVERS = {"DMA": "{}", "TileControl": "control", "Core": "core{}"}
# The steps in column and row to a neighbour.
NEIGHBOURS = {"South": (0, -1), "West": (-1, 0), "North": (0, 1), "East": (1, 0)}


def _ends(kind: str, source: Port, destination: Port) -> list[object]:
    words = []
    for port, known in (source, SENDERS), (destination, RECEIVERS):
        if port.bundle not in known:
            raise ValueError(
                f"tile {source.tile}: {kind} from {source} to {destination}: "
                f"only flows from {', '.join(SENDERS)} to {', '.join(RECEIVERS)} are "
                "supported"
            )
        words += [*port.tile, known[port.bundle].format(port.channel)]
    (column, row), (to_column, to_row) = source.tile, destination.tile
    # switches on the shortest way, both ends included
    return [*words, abs(to_column - column) + abs(to_row - row) + 1]
