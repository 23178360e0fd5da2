"""The best designs for some workloads: a search in closed form, and its frontier."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdna.gemm.array import GemmArray
from xdna.search.evaluation import Evaluation, evaluate
from xdna.search.workload import Product
from xdna.timing import Timing

Workloads = Mapping[str, Sequence[Product]]  # by name


@dataclass(frozen=True)
class Candidate:
    """A design with its evaluation on each workload, by the workload's name."""

    array: GemmArray
    evaluations: Mapping[str, Evaluation]

    def score(self, best: Mapping[str, float]) -> float:
        """How many times the best design's time it takes, on average of workloads."""
        return sum(
            one.seconds / best[name] for name, one in self.evaluations.items()
        ) / len(self.evaluations)

    @property
    def ddr_bytes(self) -> int:
        return sum(one.ddr_bytes for one in self.evaluations.values())


def search(
    arrays: Iterable[GemmArray], workloads: Workloads, times: Timing, arithmetic: str
) -> list[Candidate]:
    """All designs that can compute the workloads, the best one first.

    Raises:
      ValueError: if none can.
    """
    found = []
    for array in arrays:
        try:
            evaluations = {
                name: evaluate(array, products, times, arithmetic)
                for name, products in workloads.items()
            }
        except ValueError:  # a product has no plan
            continue
        found.append(Candidate(array, evaluations))
    if not found:
        raise ValueError("no design can compute all products of the workload")
    best = {
        name: min(one.evaluations[name].seconds for one in found) for name in workloads
    }
    return sorted(found, key=lambda one: (one.score(best), one.ddr_bytes))


def frontier(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Those of ranked designs that move fewer bytes than every faster one."""
    kept: list[Candidate] = []
    for one in ranked:
        if not kept or one.ddr_bytes < kept[-1].ddr_bytes:
            kept.append(one)
    return kept
