"""How long a step takes with a placement: a schedule of its products.

A step is a graph. A product on the host occupies all cores. One on the NPU packs its
operands with all cores, runs on the array, and is checked and unpacked by all cores. So
the host's work and the array's for different products overlap, and products that do not
wait for one another run on both sides at once. Whoever is ready first is served first;
nothing is interrupted.

Cores and array share one memory: whatever takes place together moves no more bytes than
the memory delivers. That of the cores is taken for both.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from xdna.placement.product import HOST, NPU, Product

if TYPE_CHECKING:  # the array's program takes 25 ms to import
    from xdna.placement.costs import Costs
    from xdna.placement.npu_cost import NpuCost

CPU_LANE, ARRAY_LANE = range(2)
NPU_PARTS = ("pack", "flush", "launch", "array", "check", "unpack")


@dataclass(frozen=True)
class Node:
    """A product, or other work of the cores.

    Args:
      after: indices of the nodes that it waits for, all smaller than its own.
      product: None for other work.
      operands: numbers of the values that it multiplies; an image of one serves all
        products of it.
      seconds: of other work.
      part: what its time on the host counts as.
      times: how often it runs, one after the other.
    """

    after: tuple[int, ...]
    product: Product | None = None
    operands: tuple[int, int] = (-1, -1)
    seconds: float = 0.0
    part: str = "host"
    times: int = 1


@dataclass(frozen=True)
class Timeline:
    """A scheduled step, in seconds.

    Attributes:
      seconds: until all is done.
      cpu, array: for which all cores, and the array, are at work.
      parts: by name, `NPU_PARTS` and those of nodes; they overlap, so their sum may
        exceed `seconds`.
    """

    seconds: float
    cpu: float
    array: float
    parts: dict[str, float]


class _Phase(NamedTuple):
    """What a node does without interruption: seconds of parts, one after the other."""

    lane: int | None  # None: nobody is occupied
    parts: tuple[tuple[str, float], ...]
    memory: float = 0.0  # seconds for which memory would be busy with nothing else

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.parts)


def timeline(step: Sequence[Node], sides: Sequence[str], costs: "Costs") -> Timeline:
    """The schedule of a step whose products run on the given sides.

    Args:
      sides: NPU or HOST for each node; that of other work is not read.
    """
    schedule = _Schedule(step, sides, costs)
    return schedule.run()


class _Schedule:
    def __init__(self, step: Sequence[Node], sides: Sequence[str], costs: "Costs"):
        self.step, self.sides, self.costs = step, sides, costs
        self.free = [0.0, 0.0]  # when each lane is
        self.busy = [0.0, 0.0]
        self.memory_free = 0.0
        self.parts = dict.fromkeys(NPU_PARTS, 0.0)
        self.images: dict[int, float] = {}  # when each is made
        self.waiting = [len(set(node.after)) for node in step]
        self.users: list[list[int]] = [[] for _ in step]
        for index, node in enumerate(step):
            for before in set(node.after):
                self.users[before].append(index)

    def run(self) -> Timeline:
        phases: dict[int, list[_Phase]] = {}
        starts = [0.0] * len(self.step)
        queue = [(0.0, i) for i, count in enumerate(self.waiting) if count == 0]
        heapq.heapify(queue)
        end = 0.0
        while queue:
            ready, index = heapq.heappop(queue)
            if index not in phases:
                phases[index], ready = self._phases(index, ready)
            if phases[index]:
                ended = self._run_phase(phases[index].pop(0), ready)
                heapq.heappush(queue, (ended, index))
                continue
            end = max(end, ready)
            for user in self.users[index]:
                self.waiting[user] -= 1
                starts[user] = max(starts[user], ready)
                if self.waiting[user] == 0:
                    heapq.heappush(queue, (starts[user], user))
        return Timeline(end, self.busy[CPU_LANE], self.busy[ARRAY_LANE], self.parts)

    def _run_phase(self, phase: _Phase, ready: float) -> float:
        for part, seconds in phase.parts:
            self.parts[part] = self.parts.get(part, 0.0) + seconds
        if phase.lane is None:
            return ready + phase.seconds
        ended, memory_free = self._ends(phase, phase.lane, ready)
        self.free[phase.lane], self.memory_free = ended, memory_free
        self.busy[phase.lane] += phase.seconds
        return ended

    def _ends(self, phase: _Phase, lane: int, ready: float) -> tuple[float, float]:
        """When a phase ends that takes its lane next, and when memory is free then."""
        start = max(ready, self.free[lane])
        ended = start + phase.seconds
        if not phase.memory:
            return ended, self.memory_free
        memory_free = max(start, self.memory_free) + phase.memory
        return max(ended, memory_free), memory_free

    def _phases(self, index: int, ready: float) -> tuple[list[_Phase], float]:
        """What a node does, and when it can begin."""
        node, costs = self.step[index], self.costs
        times = node.times
        rate = costs.memory_bytes_per_second
        if node.product is None:
            seconds = times * node.seconds
            return [_Phase(CPU_LANE, ((node.part, seconds),), seconds)], ready
        if self.sides[index] == HOST:
            seconds = times * costs.host.seconds(node.product)
            memory = min(seconds, times * node.product.num_bytes / rate)
            return [_Phase(CPU_LANE, ((node.part, seconds),), memory)], ready
        assert self.sides[index] == NPU
        cost = costs.npu.cost(node.product)
        assert cost is not None  # else it is on the host
        packing, ready = self._packing(node, cost, ready)
        return [
            packing,
            _Phase(None, (("launch", cost.submit),)),  # hidden if the array is at work
            _Phase(
                ARRAY_LANE,
                (("launch", times * cost.launch), ("array", times * cost.array)),
                times * min(cost.array, cost.ddr_bytes / rate),
            ),
            _Phase(CPU_LANE, (("check", times * cost.check),)),
            _Phase(
                CPU_LANE,
                (("flush", times * cost.flush_c), ("unpack", times * cost.unpack)),
                times * cost.unpack_bytes / rate,
            ),
        ], ready

    def _packing(
        self, node: Node, cost: "NpuCost", ready: float
    ) -> tuple[_Phase, float]:
        """The packing of what has no image yet, and when the others have theirs."""
        missing = []
        for value, *one in zip(node.operands, cost.pack, cost.flush, cost.pack_bytes):
            if value in self.images:
                ready = max(ready, self.images[value])
            else:
                missing.append((value, one))
        pack, flush, num_bytes = (
            node.times * sum(one[i] for _, one in missing) for i in range(3)
        )
        memory = num_bytes / self.costs.memory_bytes_per_second
        phase = _Phase(CPU_LANE, (("pack", pack), ("flush", flush)), memory)
        ended, _ = self._ends(phase, CPU_LANE, ready)
        # What a loop computes is another value each time.
        kept = (value for value, _ in missing if value >= 0 and node.times == 1)
        self.images |= dict.fromkeys(kept, ended)
        return phase, ready
