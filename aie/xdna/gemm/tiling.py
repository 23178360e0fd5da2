"""The plan of a GEMM of any size: its padding, its orientation, its runs.

The array computes whole blocks of C. So a plan pads m, n and k, and computes
Cᵀ = Bᵀ Aᵀ instead of C = A B where that needs fewer blocks, or less traffic.
"""

import functools
import math
from dataclasses import dataclass

from xdna.gemm.array import GemmArray
from xdna.gemm.costs import block_bytes, cores_seconds, ddr_seconds
from xdna.gemm.images import Images, Orders, images_of
from xdna.gemm.runs import Run, k_steps_of, split_into_runs
from xdna.gemm.steps import Grid

# Plans whose times differ by no more are as fast as one another.
SAME_TIME = 1.03
# What a period of a resident operand costs: a block of C on its way to DDR, and locks.
PERIOD_SECONDS = 15e-6
# A plan that multiplies at least this many times what was asked for carries a notice.
NOTABLE_PADDING = 4.0


@dataclass(frozen=True)
class Gemm:
    """`batch` products (m, k) x (k, n).

    The orders say how A and B lie, outermost dimension first. Images in `tiles` lie so,
    too. Packing of others reads by stride: the orders do not change them.
    """

    batch: int
    m: int
    k: int
    n: int
    a_order: str = "mk"
    b_order: str = "kn"

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.k * self.n

    def swapped(self) -> "Gemm":
        """Cᵀ = Bᵀ Aᵀ of the same operands: (n, k) x (k, m)."""
        return Gemm(
            self.batch,
            self.n,
            self.k,
            self.m,
            {"kn": "km", "nk": "mk"}[self.b_order],  # Bᵀ is the new A
            {"mk": "nk", "km": "kn"}[self.a_order],  # Aᵀ is the new B
        )


@dataclass(frozen=True)
class Plan:
    """A GEMM as an array computes it.

    If `swapped`, the array computes Cᵀ = Bᵀ Aᵀ, and `gemm` is that product: its A is
    the caller's B.
    """

    array: GemmArray
    gemm: Gemm
    swapped: bool
    k_steps: int  # tiles of k that a core sums
    runs: tuple[Run, ...]

    @property
    def padded_k(self) -> int:
        return self.k_steps * self.array.k

    @property
    def blocks(self) -> Grid:
        return _blocks(self.array, self.gemm)

    @property
    def padded(self) -> Gemm:
        batch, rows, columns = self.blocks
        m, n = rows * self.array.block_m, columns * self.array.block_n
        return Gemm(batch, m, self.padded_k, n)

    @property
    def padding(self) -> float:
        """Multiplications done over those asked for."""
        return self.padded.macs / max(self.gemm.macs, 1)

    @property
    def ddr_bytes(self) -> dict[str, int]:
        """Bytes moved between DDR and the array, by operand of the array's GEMM."""
        a, b, c = block_bytes(self.array, self.padded_k)
        loads = [run.loads() for run in self.runs]
        num_a, num_b = (sum(one[i] for one in loads) for i in (0, 1))
        return {"a": a * num_a, "b": b * num_b, "c": c * math.prod(self.blocks)}

    @property
    def all_ddr_bytes(self) -> int:
        return sum(self.ddr_bytes.values())

    @property
    def orders(self) -> Orders:
        """How A and B of the array's GEMM are stored."""
        return self.gemm.a_order, self.gemm.b_order

    def images(self, run: Run) -> Images:
        _, row, column = run.start
        left = (
            self.gemm.m - row * self.array.block_m,
            self.gemm.n - column * self.array.block_n,
        )
        return images_of(self.array, self.orders, self.padded_k, run.grid, left)

    @property
    def notices(self) -> list[str]:
        """Notices for the user of this plan."""
        if self.padding < NOTABLE_PADDING:
            return []
        return [
            f"padding multiplies the work by {self.padding:.1f}: the array computes "
            f"blocks of {self.array.block_m} x {self.array.block_n}"
        ]


@functools.lru_cache(maxsize=1024)
def make_plan(
    array: GemmArray,
    batch: int,
    m: int,
    k: int,
    n: int,
    a_order: str = "mk",
    b_order: str = "kn",
) -> Plan:
    """The plan for `batch` products (m, k) x (k, n).

    Args:
      array: the device, the core tile and the type of C.
      a_order, b_order: how the operands lie: "mk" or "km", "kn" or "nk".

    Raises:
      ValueError: for sizes below 1, unknown orders, and a k too long for one run.
    """
    for name, order, known in (("a", a_order, "mk"), ("b", b_order, "kn")):
        if order not in (known, known[::-1]):
            raise ValueError(
                f"{name}_order must be {known} or {known[::-1]}, got {order!r}"
            )
    for name, size in (("batch", batch), ("m", m), ("k", k), ("n", n)):
        if size < 1:
            raise ValueError(
                f"a plan needs sizes of at least 1, got {name} = {size}; an empty "
                "product is zeros and needs no NPU"
            )
    gemm = Gemm(batch, m, k, n, a_order, b_order)
    turned = gemm.swapped()
    num_blocks = [math.prod(_blocks(array, one)) for one in (gemm, turned)]
    if not array.resident:
        swapped = num_blocks[1] < num_blocks[0]
        return plan_of(array, turned if swapped else gemm, swapped)
    plans = [
        plan_of(array, one, one is turned, may_stay)
        for one, number in zip((gemm, turned), num_blocks)
        if number == min(num_blocks)
        for may_stay in (False, True)
    ]
    # The least traffic of those that take about as long as the fastest.
    seconds = [_rough_seconds(plan) for plan in plans]
    fast = [p for p, s in zip(plans, seconds) if s <= SAME_TIME * min(seconds)]
    return min(fast, key=lambda plan: plan.all_ddr_bytes)


def plan_of(
    array: GemmArray, gemm: Gemm, swapped: bool = False, may_stay: bool = True
) -> Plan:
    """The plan for a GEMM the way round that it is given.

    Args:
      may_stay: whether an operand may be resident.

    Raises:
      ValueError: if k is too long for one run.
    """
    orders = gemm.a_order, gemm.b_order
    blocks = _blocks(array, gemm)
    runs = split_into_runs(array, blocks, gemm.k, orders, may_stay)
    return Plan(array, gemm, swapped, k_steps_of(array, gemm.k), tuple(runs))


def _rough_seconds(plan: Plan) -> float:
    """The time of a plan's blocks, roughly: cores or DDR, and waits of periods."""
    blocks = math.prod(plan.blocks) * cores_seconds(plan.array, plan.k_steps)
    ddr = ddr_seconds(plan.array, plan.all_ddr_bytes)
    periods = sum(run.num_periods for run in plan.runs)
    return max(blocks, ddr) + periods * PERIOD_SECONDS


def _blocks(array: GemmArray, gemm: Gemm) -> Grid:
    return gemm.batch, -(-gemm.m // array.block_m), -(-gemm.n // array.block_n)
