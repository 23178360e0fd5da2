"""The placement of a step: for all products of one size the side that pays.

It orders sizes by how much longer they take on the NPU than on the host, and starts
from the best ways to cut that order in two, everything on either side among them. Then
single sizes change sides, and pairs swap them, as long as the step ends sooner or takes
less energy. So it is never worse than either side alone.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from xdna.placement.energy import joules
from xdna.placement.product import HOST, NPU, Product, Sizes
from xdna.placement.timeline import Node, Timeline, timeline

if TYPE_CHECKING:
    from xdna.placement.costs import Costs

STARTS = 3  # the best ones are improved
MAX_ROUNDS = 4  # over all changes
# A change of sides pays if it brings more than this share of the step.
LEAST_GAIN = 1e-4

Placement = dict[Sizes, str]


def best_placement(
    step: Sequence[Node],
    costs: "Costs",
    objective: str = "time",
    forced: Mapping[Sizes, str] = {},
) -> Placement:
    """The side for each size of a product in the step.

    Args:
      objective: "time" or "energy"; energy needs `require_power`.
      forced: sides that are not for choice.
    """
    products: dict[Sizes, list[Product]] = {}
    for node in step:
        if node.product is not None:
            products.setdefault(node.product.sizes, []).append(node.product)
    fixed = {sizes: forced[sizes] for sizes in products if sizes in forced}
    for sizes, of_size in products.items():
        if any(costs.npu.cost(product) is None for product in of_size):
            fixed.setdefault(sizes, HOST)
    free = [sizes for sizes in products if sizes not in fixed]

    def score(placement: Placement) -> float:
        result = timeline(step, sides_of(step, placement), costs)
        return score_of(result, costs, objective)

    free.sort(key=lambda sizes: _times_as_long(products[sizes], costs))
    starts = [
        fixed | dict.fromkeys(free[:cut], NPU) | dict.fromkeys(free[cut:], HOST)
        for cut in range(len(free) + 1)
    ]
    ranked = sorted(((score(start), start) for start in starts), key=lambda x: x[0])
    ends = (_improved(start, lowest, free, score) for lowest, start in ranked[:STARTS])
    return min(ends, key=lambda x: x[0])[1]


def _improved(
    placement: Placement,
    lowest: float,
    free: Sequence[Sizes],
    score: Callable[[Placement], float],
) -> tuple[float, Placement]:
    """The placement with changes that pay, of one size or of two that swap sides."""
    moves = [(one,) for one in free] + list(itertools.combinations(free, 2))
    for _ in range(MAX_ROUNDS):
        before = lowest
        for move in moves:
            if len({placement[sizes] for sizes in move}) < len(move):
                continue  # no swap
            turned = {s: HOST if placement[s] == NPU else NPU for s in move}
            value = score(placement | turned)
            if value < lowest * (1 - LEAST_GAIN):
                placement, lowest = placement | turned, value
        if lowest == before:
            break
    return lowest, placement


def _times_as_long(of_size: Sequence[Product], costs: "Costs") -> float:
    """How many times as long products take on the NPU as on the host."""
    on_npu = sum(cost.seconds for one in of_size if (cost := costs.npu.cost(one)))
    return on_npu / sum(costs.host.seconds(one) for one in of_size)


def sides_of(step: Sequence[Node], placement: Mapping[Sizes, str]) -> list[str]:
    """The side of each node of a step."""
    return [
        HOST if node.product is None else placement[node.product.sizes] for node in step
    ]


def score_of(result: Timeline, costs: "Costs", objective: str) -> float:
    """Seconds or joules of a schedule."""
    if objective == "time":
        return result.seconds
    value = joules(costs.power, result.seconds, result.cpu, result.array)
    assert value is not None
    return value
