"""The time of a product on a CPU by a table of measured ones.

Between the measured sizes the logarithm of the time is linear in the logarithms of the
sizes. Beyond the largest, it grows as the FLOPs do; below the smallest it stays.
"""

import bisect
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from xdna.machines import Cpu
from xdna.placement.product import Product, Sizes

# Measured are all combinations, alone and in a batch. Together they take seconds.
SIZES = (1, 16, 128, 1024)
BATCH, SIZES_IN_BATCH = 64, (8, 64, 256)


def points() -> Iterator[Sizes]:
    """The products that a table has."""
    for sizes in itertools.product(SIZES, repeat=3):
        yield Sizes(1, *sizes)
    for sizes in itertools.product(SIZES_IN_BATCH, repeat=3):
        yield Sizes(BATCH, *sizes)


@dataclass(frozen=True, eq=False)
class HostTable:
    """A measured CPU: a `HostModel`.

    Args:
      measured: seconds of each of `points()`.
      memory_bytes_per_second: that all cores together read.
      model, cores: of the CPU, and as many of its cores as were used.
    """

    measured: Mapping[Sizes, float]
    memory_bytes_per_second: float
    model: str
    cores: int

    def seconds(self, product: Product) -> float:
        batch, m, k, n = product.sizes
        alone = self._interpolated(1, SIZES, (m, k, n))
        if batch > 1:
            many = self._interpolated(BATCH, SIZES_IN_BATCH, (m, k, n))
            # At most as long as one by one.
            many = min(many, BATCH * alone)
            share = min(1.0, math.log(batch) / math.log(BATCH))
            alone = alone ** (1 - share) * many**share * max(1.0, batch / BATCH)
        return product.passes * alone

    def _interpolated(
        self, batch: int, known: tuple[int, ...], sizes: tuple[int, int, int]
    ) -> float:
        """By the corners of the box of measured sizes around a product."""
        beyond = math.prod(max(1.0, size / known[-1]) for size in sizes)
        axes = [_around(known, size) for size in sizes]
        log_seconds = 0.0
        for corner in itertools.product(*axes):
            weight = math.prod(share for _, share in corner)
            point = Sizes(batch, *(size for size, _ in corner))
            log_seconds += weight * math.log(self.measured[point])
        return beyond * math.exp(log_seconds)

    def cpu(self, like: Cpu) -> Cpu:
        """The measured CPU as a profile has it.

        The rate of a core is that of the largest measured product.
        """
        largest = Product(1, SIZES[-1], SIZES[-1], SIZES[-1])
        rate = largest.flops / self.seconds(largest) / self.cores / 1e9
        memory = self.memory_bytes_per_second
        return replace(
            like,
            model=self.model,
            cores=self.cores,
            gflops_per_core=rate,
            memory_bytes_per_second=memory,
        )

    def to_json(self) -> str:
        rows = [[*sizes, seconds] for sizes, seconds in self.measured.items()]
        record = {
            "model": self.model,
            "cores": self.cores,
            "memory_bytes_per_second": self.memory_bytes_per_second,
            "products": rows,
        }
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str) -> "HostTable":
        """
        Raises:
          ValueError: if it is no table, or lacks a product.
        """
        try:
            record = json.loads(text)
            rows = record.pop("products")
            measured = {Sizes(*map(int, row[:4])): float(row[4]) for row in rows}
            table = cls(measured, **record)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"no table of products: {error}") from None
        lacking = [sizes for sizes in points() if measured.get(sizes, 0.0) <= 0.0]
        if lacking or table.memory_bytes_per_second <= 0:
            raise ValueError(f"a table without the time of {lacking[:1]}")
        return table


def _around(known: tuple[int, ...], size: int) -> tuple[tuple[int, float], ...]:
    """The measured sizes below and above a size, each with its share."""
    size = min(max(size, known[0]), known[-1])
    above = bisect.bisect_left(known, size)
    if known[above] == size:
        return ((size, 1.0),)
    low, high = known[above - 1], known[above]
    share = math.log(size / low) / math.log(high / low)
    return ((low, 1 - share), (high, share))
