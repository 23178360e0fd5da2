"""The check of streams: flows join every channel that runs, along a legal route."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xdna.check.dma_chains import chains
from xdna.check.placed_design import PlacedDesign, Tile, Violation
from xdna.check.router import Net, links, route
from xdna.devices import SHIM
from xdna.dialect.aie import (
    FlowOp,
    PacketDestOp,
    PacketFlowOp,
    PacketSourceOp,
    ShimDmaAllocationOp,
)
from xdna.dialect.attrs import BUNDLES, keyword_of


@dataclass(frozen=True)
class Port:
    """The beginning or end of a stream."""

    tile: Tile
    bundle: str
    channel: int

    def __str__(self) -> str:
        return f"{self.bundle} {self.channel} of tile {self.tile}"


# Ports of the switches that carry no data over the array, by kind of tile (mlir-aie's
# AIETargetModel.cpp): those out of the switch, those into it.
OWN_PORTS = {
    "shim": ({"FIFO": 1, "TileControl": 1}, {"FIFO": 1, "TileControl": 1, "Trace": 1}),
    "memtile": ({"TileControl": 1}, {"TileControl": 1, "Trace": 1}),
    "core": (
        {"Core": 1, "FIFO": 1, "TileControl": 1},
        {"Core": 1, "FIFO": 1, "TileControl": 1, "Trace": 2},
    ),
}
OUTSIDE = "PLIO", "NOC"  # of a shim, behind its switch

Streams = dict[Port, list[Port]]  # destinations by source


def check_flows(design: PlacedDesign) -> Iterator[Violation]:
    circuits, packets = circuit_flows(design), packet_flows(design)
    sources: dict[Port, Port] = {}
    for source, destinations in [*circuits.items(), *packets.items()]:
        yield from _check_port(design, source, "MM2S")
        for destination in destinations:
            yield from _check_port(design, destination, "S2MM")
    for source, destinations in circuits.items():
        if source in packets:
            what = "both a circuit and packets"
            yield Violation(source.tile, f"port {source}", 2, 1, what)
        for destination in destinations:
            if destination in sources:
                what = f"flows from {sources[destination]} and from {source}"
                yield Violation(destination.tile, f"port {destination}", 2, 1, what)
            sources[destination] = source  # one circuit at most ends at a port


def check_joined(design: PlacedDesign) -> Iterator[Violation]:
    """Checks that what a flow joins runs, and that what runs has a flow.

    A stream may also start channels that no program does, and need not use all.
    """
    flows = [*circuit_flows(design).items(), *packet_flows(design).items()]
    running = _running_channels(design)
    for source, destinations in flows:
        yield from _check_started(source, "MM2S", running)
        for destination in destinations:
            yield from _check_started(destination, "S2MM", running)
    yield from _check_fed(design, flows)


def check_routes(design: PlacedDesign) -> Iterator[Violation]:
    capacities = links(design.device)
    nets: list[Net] = [
        (source.tile, [port.tile for port in destinations])
        for source, destinations in circuit_flows(design).items()
    ]
    # Packet flows may share wires. As a net each they are counted at least as often as
    # they need one.
    nets += [
        (source.tile, [port.tile for port in destinations])
        for source, destinations in packet_flows(design).items()
    ]
    try:
        usage = route(capacities, nets)
    except ValueError as error:
        yield Violation(None, "route", "a path", "none", str(error))
        return
    for (tile, bundle), needed in sorted(usage.items()):
        limit = capacities[tile, bundle]
        if needed > limit:
            what = "no legal route for all flows was found; first overloaded port"
            resource = f"{bundle} masters of the switch"
            yield Violation(tile, resource, needed, limit, what)
            return


def circuit_flows(design: PlacedDesign) -> Streams:
    streams: Streams = defaultdict(list)
    for flow in design.ops(FlowOp):
        source, dest = design.tile(flow.source), design.tile(flow.dest)
        if source is not None and dest is not None:
            out = _bundle(flow.source_bundle.value.data)
            into = _bundle(flow.dest_bundle.value.data)
            streams[Port(source, out, flow.source_channel.value.data)].append(
                Port(dest, into, flow.dest_channel.value.data)
            )
    return streams


def packet_flows(design: PlacedDesign) -> Streams:
    streams: Streams = defaultdict(list)
    for flow in design.ops(PacketFlowOp):
        for source in packet_ports(design, flow, PacketSourceOp):
            streams[source] += packet_ports(design, flow, PacketDestOp)
    return streams


def packet_ports(
    design: PlacedDesign,
    flow: PacketFlowOp,
    end: type[PacketSourceOp] | type[PacketDestOp],
) -> list[Port]:
    """The beginnings, or the ends, of a packet flow."""
    ports = []
    for op in flow.ports.block.ops:
        if isinstance(op, end):
            tile = design.tile(op.tile)
            if tile is not None:
                bundle = _bundle(op.bundle.value.data)
                ports.append(Port(tile, bundle, op.channel.value.data))
    return ports


def _bundle(number: int) -> str:
    return keyword_of(BUNDLES, number)


def _running_channels(design: PlacedDesign) -> set[tuple[Tile, str, int]]:
    """(tile, direction, channel)s that a DMA program starts, or a stream may start."""
    running = {(chain.tile, chain.direction, chain.channel) for chain in chains(design)}
    for tile, allocation in design.on_tiles(ShimDmaAllocationOp):
        channel = allocation.channel_index.value.data
        running.add((tile, allocation.direction, channel))
    return running


def _check_port(
    design: PlacedDesign, port: Port, direction: str
) -> Iterator[Violation]:
    kind = design.kind(port.tile)
    if port.bundle != "DMA":
        # A stream enters the switch at a slave and leaves it at a master.
        is_into = direction == "MM2S"
        ports = kind.slaves if is_into else kind.masters
        limit = (ports | OWN_PORTS[kind.name][is_into]).get(port.bundle, 0)
        if port.channel >= limit and not (kind is SHIM and port.bundle in OUTSIDE):
            what = f"{port.bundle} ports {'into' if is_into else 'out of'} its switch"
            yield Violation(port.tile, f"port {port}", port.channel + 1, limit, what)
        return
    limit = kind.dma.num_channels(direction)
    if port.channel >= limit:
        resource = f"channel {direction} {port.channel}"
        what = "a flow uses it"
        yield Violation(port.tile, resource, port.channel, limit - 1, what)


def _check_started(
    port: Port, direction: str, running: set[tuple[Tile, str, int]]
) -> Iterator[Violation]:
    if port.bundle == "DMA" and (port.tile, direction, port.channel) not in running:
        resource = f"channel {direction} {port.channel}"
        what = "a flow uses it, no DMA program starts it"
        yield Violation(port.tile, resource, "a program", "none", what)


def _check_fed(
    design: PlacedDesign, flows: Iterable[tuple[Port, list[Port]]]
) -> Iterator[Violation]:
    """Checks that every started channel has a flow: without one it waits forever."""
    joined = {"MM2S": set[Port](), "S2MM": set[Port]()}
    for source, destinations in flows:
        joined["MM2S"].add(source)
        joined["S2MM"].update(destinations)
    ends = {"MM2S": "takes from it", "S2MM": "feeds it"}
    for chain in chains(design):
        if Port(chain.tile, "DMA", chain.channel) not in joined[chain.direction]:
            what = f"a DMA program starts it, no flow {ends[chain.direction]}"
            yield Violation(chain.tile, f"channel {chain}", "a flow", "none", what)
