"""Routes through the stream switches, by negotiated congestion.

Every net is one source and its destinations. It takes one wire of each link between
neighbouring switches that its tree crosses. Links that too many nets want become more
expensive from round to round (McMurchie & Ebeling, PathFinder, 1995) until none is
overused or the last round is over. Within a switch any port reaches any other; a
memtile's switch has no ports east and west, so streams only pass it vertically.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from xdna.devices import Device

Tile = tuple[int, int]
Link = tuple[Tile, str]  # the tile that it leaves, and the bundle of masters there
Net = tuple[Tile, Sequence[Tile]]  # source, destinations
Cost = Callable[[Link], float]

STEPS = {"North": (0, 1), "East": (1, 0), "South": (0, -1), "West": (-1, 0)}
OPPOSITE = {"North": "South", "South": "North", "East": "West", "West": "East"}
MAX_ROUNDS = 40


def links(device: Device) -> dict[Link, int]:
    """Number of wires of every link between two switches of the device."""
    capacities = {}
    for column in range(device.num_columns):
        for row in range(device.num_rows):
            for bundle in STEPS:
                there = _neighbour((column, row), bundle)
                if not (
                    0 <= there[0] < device.num_columns
                    and 0 <= there[1] < device.num_rows
                ):
                    continue
                wires = min(
                    device.tile(column, row).masters.get(bundle, 0),
                    device.tile(*there).slaves.get(OPPOSITE[bundle], 0),
                )
                if wires:
                    capacities[(column, row), bundle] = wires
    return capacities


def route(capacities: Mapping[Link, int], nets: Sequence[Net]) -> Counter[Link]:
    """Number of wires that the nets take of each link.

    If no legal routing was found, some link has more than its capacity.

    Raises:
      ValueError: if a destination cannot be reached at all.
    """
    history: dict[Link, float] = defaultdict(float)  # overuse in all rounds so far
    trees: list[set[Link]] = [set() for _ in nets]
    usage: Counter[Link] = Counter()
    for pressure in range(MAX_ROUNDS):
        for i, (source, destinations) in enumerate(nets):
            usage.subtract(trees[i])

            # 1 for the hop, more for a link that was or would be overused. The price of
            # overuse grows with the rounds.
            def cost(link: Link, pressure: int = pressure) -> float:
                excess = usage[link] + 1 - capacities[link]
                return 1 + history[link] + max(excess, 0) * (1 + pressure)

            trees[i] = _tree(capacities, source, destinations, cost)
            usage.update(trees[i])
        overused = {link: n for link, n in usage.items() if n > capacities[link]}
        if not overused:
            break
        for link, n in overused.items():
            history[link] += n - capacities[link]
    return +usage


def _tree(
    capacities: Mapping[Link, int],
    source: Tile,
    destinations: Sequence[Tile],
    cost: Cost,
) -> set[Link]:
    tree: set[Link] = set()
    reached = {source}
    for destination in destinations:
        path = _path(capacities, reached, destination, cost)
        tree.update(path)
        reached.update(_neighbour(*link) for link in path)
    return tree


def _path(
    capacities: Mapping[Link, int], sources: set[Tile], destination: Tile, cost: Cost
) -> list[Link]:
    """Links of the cheapest path from any of the sources (Dijkstra), last one first."""
    best = dict.fromkeys(sources, 0.0)
    came: dict[Tile, Link] = {}  # the last link of the cheapest path to a tile
    queue = [(0.0, tile) for tile in sorted(sources)]
    while queue:
        so_far, tile = heapq.heappop(queue)
        if tile == destination:
            path = []
            while tile in came:
                path.append(came[tile])
                tile = came[tile][0]
            return path
        if so_far > best[tile]:
            continue
        for link, there in _links_from(capacities, tile):
            total = so_far + cost(link)
            if total < best.get(there, float("inf")):
                best[there] = total
                came[there] = link
                heapq.heappush(queue, (total, there))
    raise ValueError(f"no stream reaches tile {destination}")


def _links_from(
    capacities: Mapping[Link, int], tile: Tile
) -> Iterator[tuple[Link, Tile]]:
    for bundle in STEPS:
        if (tile, bundle) in capacities:
            yield (tile, bundle), _neighbour(tile, bundle)


def _neighbour(tile: Tile, bundle: str) -> Tile:
    column, row = STEPS[bundle]
    return tile[0] + column, tile[1] + row
