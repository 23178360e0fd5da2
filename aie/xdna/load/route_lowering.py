"""The flows of a design as `route` and `packet_route` lines of a configuration."""

from collections.abc import Iterator, Sequence

from xdna.check.placed_design import PlacedDesign
from xdna.check.routes import Port, circuit_flows, packet_ports
from xdna.dialect.aie import PacketDestOp, PacketFlowOp, PacketSourceOp


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


def _ends(kind: str, source: Port, destination: Port) -> list[object]:
    if {source.bundle, destination.bundle} != {"DMA"}:
        raise ValueError(
            f"tile {source.tile}: {kind} from {source} to {destination}: "
            "only flows between DMA channels are supported"
        )
    (column, row), (to_column, to_row) = source.tile, destination.tile
    # switches on the shortest way, both ends included
    hops = abs(to_column - column) + abs(to_row - row) + 1
    return [*source.tile, source.channel, *destination.tile, destination.channel, hops]
