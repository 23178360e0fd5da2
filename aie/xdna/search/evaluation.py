"""A design's time on a workload, in closed form or on the virtual NPU."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xdna.gemm.array import INPUT_BYTES, GemmArray
from xdna.gemm.forecast import Forecast, forecast
from xdna.gemm.tiling import Plan, make_plan
from xdna.search.workload import Product
from xdna.simulator.timed_run import TimedArray
from xdna.timing import Timing


@dataclass(frozen=True)
class Part:
    """One product of a workload on a design."""

    product: Product
    plan: Plan
    forecast: Forecast

    @property
    def seconds(self) -> float:
        """What all its calls take."""
        return self.product.calls * self.forecast.seconds

    @property
    def ddr_bytes(self) -> int:
        return self.product.calls * self.plan.all_ddr_bytes


@dataclass(frozen=True)
class Evaluation:
    """A workload on a design. Every product is one submission of its own."""

    array: GemmArray
    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    @property
    def launch_seconds(self) -> float:
        return sum(part.product.calls * part.forecast.launches for part in self.parts)

    @property
    def ddr_bytes(self) -> int:
        return sum(part.ddr_bytes for part in self.parts)

    def seconds_by_bound(self) -> dict[str, float]:
        """Time of the products by the part of the machine that takes longest."""
        seconds: dict[str, float] = {}
        for part in self.parts:
            bound = part.forecast.pace.bound
            work = part.product.calls * part.forecast.work
            seconds[bound] = seconds.get(bound, 0.0) + work
        return seconds


def evaluate(
    array: GemmArray, products: Sequence[Product], times: Timing, arithmetic: str
) -> Evaluation:
    """
    Raises:
      ValueError: if a product has no plan on the design.
    """
    parts = []
    for product in products:
        plan = plan_for(array, product)
        parts.append(Part(product, plan, forecast(plan, times, arithmetic)))
    return Evaluation(array, tuple(parts))


def plan_for(array: GemmArray, product: Product) -> Plan:
    """The plan of a product, as backends make it."""
    gemm = product.gemm
    orders = gemm.a_order, gemm.b_order
    return make_plan(array, gemm.batch, gemm.m, gemm.k, gemm.n, *orders)


def simulated_seconds(
    array: GemmArray, products: Sequence[Product], times: Timing, arithmetic: str
) -> list[float]:
    """Seconds of one call of each product on the virtual NPU."""
    npu = TimedArray(array, times, arithmetic)
    return [npu.seconds(plan_for(array, product)) for product in products]


def compulsory_bytes(products: Sequence[Product], out_bytes: int) -> int:
    """Bytes of all operands and results, each moved once a call."""
    total = 0
    for product in products:
        gemm = product.gemm
        inputs = INPUT_BYTES * (gemm.m * gemm.k + gemm.k * gemm.n)
        total += product.calls * gemm.batch * (inputs + out_bytes * gemm.m * gemm.n)
    return total


def flops(products: Sequence[Product]) -> float:
    return math.fsum(2.0 * one.calls * one.gemm.macs for one in products)
