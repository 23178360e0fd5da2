"""The router finds a legal routing where there is one, else names the port."""

import pytest

from xdna.check.placed_design import PlacedDesign
from xdna.check.router import links, route
from xdna.check.routes import check_joined, check_routes, circuit_flows
from xdna.devices import DEVICES, device
from xdna.dialect.text import parse_module


def design(name: str, *flows: str) -> PlacedDesign:
    """A design of flows alone, written "column row channel > column row channel"."""
    ends = [[end.split() for end in flow.split(">")] for flow in flows]
    tiles = sorted({(end[0], end[1]) for flow in ends for end in flow})
    lines = [f"%t{c}{r} = aie.tile({c}, {r})" for c, r in tiles]
    lines += [
        f"aie.flow(%t{a[0]}{a[1]}, DMA : {a[2]}, %t{b[0]}{b[1]}, DMA : {b[2]})"
        for a, b in ends
    ]
    module = parse_module(f"aie.device({name}) {{\n" + "\n".join(lines) + "\n}")
    (op,) = module.body.block.ops
    return PlacedDesign(op, device(name))


def usage(name: str, *nets):
    return route(links(device(name)), nets)


@pytest.mark.parametrize("name", DEVICES)
def test_links_join_masters_to_slaves(name):
    wires = links(device(name))
    assert wires[(0, 0), "North"] == 6
    assert wires[(0, 1), "North"] == 6
    assert wires[(0, 2), "South"] == wires[(0, 1), "South"] == 4
    assert ((0, 5), "North") not in wires
    assert ((0, 1), "East") not in wires
    assert (((0, 2), "East") in wires) == (device(name).num_columns > 1)


def test_broadcast_takes_each_link_once():
    # from the memtile along the core row above it
    wanted = usage("npu1", ((0, 1), [(c, 2) for c in range(4)]))
    assert wanted == {((0, 1), "North"): 1} | {((c, 2), "East"): 1 for c in range(3)}


def test_flows_of_one_source_are_one_stream():
    broadcast = design("npu1", "0 1 0 > 0 2 0", "0 1 0 > 1 2 0", "0 1 0 > 2 2 0")
    assert len(circuit_flows(broadcast)) == 1
    assert not list(check_routes(broadcast))


def test_streams_give_way_to_each_other():
    # Six streams to the far column: only four wires go east in any row.
    nets = [((0, 1), [(1, row)]) for row in (2, 2, 3, 3, 4, 5)]
    wanted = usage("npu1_2col", *nets)
    assert all(n <= links(device("npu1_2col"))[link] for link, n in wanted.items())
    assert sum(n for (_, bundle), n in wanted.items() if bundle == "East") == 6


def test_memtiles_pass_streams_straight():
    wanted = usage("npu1", ((0, 1), [(3, 1)]))
    assert {tile[1] for tile, bundle in wanted if bundle == "East"} == {0}


def test_more_streams_than_wires_name_the_port():
    # Five results go down one column, and each column has four wires down.
    flows = [f"0 {row} {channel} > 0 1 {row - 2 + 3 * channel}"
             for row, channel in ((2, 0), (2, 1), (3, 0), (4, 0), (5, 0))]  # fmt: skip
    (breach,) = check_routes(design("npu1_1col", *flows))
    assert (breach.tile, breach.needed, breach.limit) == ((0, 2), 5, 4)
    assert "South masters" in breach.resource
    # A second column's wires take the fifth.
    assert not list(check_routes(design("npu1_2col", *flows[:4], "0 5 0 > 0 0 0")))


def test_a_whole_array_routes():
    flows = []
    for c in range(4):
        flows += [f"{c} 0 0 > {c} 1 0", f"{c} 0 1 > {c} 1 1", f"{c} 1 5 > {c} 0 0"]
        for r in range(4):
            flows += [f"{c} 1 0 > {r} {2 + c} 0", f"{c} 1 1 > {c} {2 + r} 1"]
            flows += [f"{c} {2 + r} 0 > {c} 1 {2 + r}"]
    assert not list(check_routes(design("npu1", *flows)))


def test_idle_channels_are_told_at_both_ends():
    found = [str(breach) for breach in check_joined(design("npu1", "0 1 0 > 0 2 1"))]
    assert "tile (0, 1): channel MM2S 0" in found[0]
    assert "tile (0, 2): channel S2MM 1" in found[1]
