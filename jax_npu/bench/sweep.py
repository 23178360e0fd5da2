"""`jax-npu bench sweep`: products of any shape against XLA's, the slowest first.

    jax-npu bench sweep --backend host
    jax-npu bench sweep --backend host --products 1000 --max-mb 1 --seed 3

Every size is drawn from 1 to 4,096 by its logarithm, with batch, orders and dtypes;
products that take too many FLOPs or bytes for a run of a few minutes are drawn again.
A product is a program of its own, so both sides have the time in which JAX starts one.
"""

import argparse
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import jax_npu
from jax_npu.bench.arguments import (
    STOCK,
    backend_against_stock,
    backend_of,
    require_at_least_1,
)
from jax_npu.bench.in_place import in_place, seconds_per_call, warm_up
from jax_npu.bench.side_by_side import (
    geometric_mean,
    in_turn,
    machine_facts,
    times_as_fast,
    versions,
    wide_console,
)
from jax_npu.placing import ALL_ON_THE_NPU, placement

DTYPES = {"f32": jnp.float32, "bf16": jnp.bfloat16}
ORDERS = ("mk,kn", "mk,nk", "km,kn", "km,nk")
MAX_SIZE = 4096
MAX_FLOPS = 2**29
SAMPLE_SECONDS = 0.002  # a sample is as many calls as fill this time
WARMUP_SECONDS = 0.01


@dataclass(frozen=True)
class SweepCase:
    """`batch` products (m, k) x (k, n); the orders say how the operands lie."""

    batch: int
    m: int
    k: int
    n: int
    orders: str
    dtype: str

    @property
    def flops(self) -> int:
        return 2 * self.batch * self.m * self.k * self.n

    @property
    def num_bytes(self) -> int:
        elements = self.m * self.k + self.k * self.n + self.m * self.n
        return self.batch * elements * int(jnp.dtype(DTYPES[self.dtype]).itemsize)


@dataclass(frozen=True)
class SweepResult:
    case: SweepCase
    microseconds: float
    stock_microseconds: float
    times_the_stock_time: float  # median of the rounds


def add_sweep_bench(parsers: Any) -> None:
    parser = parsers.add_parser(
        "sweep", help="products of any shape, the slowest first"
    )
    parser.add_argument("--backend", help="the one that is measured, against xla")
    parser.add_argument("--products", type=int, default=300, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--max-mb", type=float, default=64, help="bytes of a product")
    parser.add_argument("--repeats", type=int, default=7, help="samples of each")
    parser.add_argument("--worst", type=int, default=20, help="rows of the table")
    parser.add_argument(
        "--json", action="store_true", help="print JSON of all products"
    )
    parser.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    require_at_least_1(arguments, "products", "repeats", "worst")
    if arguments.max_mb <= 0:
        raise ValueError(f"--max-mb must be more than 0, got {arguments.max_mb}")
    backend = backend_against_stock(arguments.backend)
    cases = draw_cases(arguments.products, arguments.seed, arguments.max_mb * 1e6)
    with placement(ALL_ON_THE_NPU):
        results = [measure(case, backend, arguments.repeats) for case in cases]
    results.sort(key=lambda result: result.times_the_stock_time, reverse=True)
    facts = machine_facts()
    if arguments.json:
        facts |= {"versions": versions("jax", "jaxlib", "jax-npu"), "backend": backend}
        print(json.dumps(facts | {"products": list(map(asdict, results))}, indent=2))
        return
    wide_console().print(_table(results[: arguments.worst], backend))
    print(_summary(results))
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['isa']}")


def draw_cases(num: int, seed: int, max_bytes: float) -> list[SweepCase]:
    """`num` different cases, always the same for a seed."""
    draw = random.Random(seed)

    def size() -> int:
        if draw.random() < 0.2:  # no such dimension
            return 1
        return round(math.exp(draw.uniform(0, math.log(MAX_SIZE))))

    cases: dict[SweepCase, None] = {}
    while len(cases) < num:
        batch = size() if draw.random() < 0.5 else 1
        orders, dtype = draw.choice(ORDERS), draw.choice(list(DTYPES))
        case = SweepCase(batch, size(), size(), size(), orders, dtype)
        if case.flops <= MAX_FLOPS and case.num_bytes <= max_bytes:
            cases[case] = None
    return list(cases)


def measure(case: SweepCase, backend: str, repeats: int) -> SweepResult:
    """The case on `backend` and as XLA's product, in turn."""
    calls = [
        in_place(_product(case, name), *_operands(case)) for name in (backend, STOCK)
    ]
    for call in calls:
        warm_up(call, WARMUP_SECONDS)

    def sampler(call: Callable[[], None]) -> Callable[[], float]:
        num_calls = max(1, round(SAMPLE_SECONDS / seconds_per_call(call, 1)))
        return lambda: seconds_per_call(call, num_calls)

    measured, stock = in_turn([sampler(call) for call in calls], repeats)
    return SweepResult(
        case,
        median(measured) * 1e6,
        median(stock) * 1e6,
        1 / times_as_fast(measured, stock).median,
    )


def _operands(case: SweepCase) -> list[jax.Array]:
    values = np.random.default_rng(0)
    size = {"m": case.m, "k": case.k, "n": case.n}
    batch = [case.batch] if case.batch > 1 else []
    shapes = [batch + [size[c] for c in order] for order in case.orders.split(",")]
    dtype = DTYPES[case.dtype]
    return [jnp.asarray(values.standard_normal(s, np.float32), dtype) for s in shapes]


def _product(case: SweepCase, name: str) -> Callable[[jax.Array, jax.Array], jax.Array]:
    batch = (0,) if case.batch > 1 else ()
    lhs_k, rhs_k = (len(batch) + order.index("k") for order in case.orders.split(","))
    numbers = (((lhs_k,), (rhs_k,)), (batch, batch))

    def product(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return jax_npu.dot_general(lhs, rhs, numbers, backend=backend_of(name))

    return product


def _table(results: Sequence[SweepResult], backend: str) -> Table:
    table = Table("batch, m, k, n", "lie as", "dtype", title_justify="left")
    for name in (f"{backend}, us", f"{STOCK}, us", f"times {STOCK}'s time"):
        table.add_column(name, justify="right")
    for result in results:
        case = result.case
        table.add_row(
            f"{case.batch}, {case.m}, {case.k}, {case.n}",
            case.orders,
            case.dtype,
            f"{result.microseconds:.1f}",
            f"{result.stock_microseconds:.1f}",
            f"{result.times_the_stock_time:.2f}",
        )
    return table


def _summary(results: Sequence[SweepResult]) -> str:
    ratios = [result.times_the_stock_time for result in results]
    slower = sum(ratio > 1.1 for ratio in ratios)
    return (
        f"{len(ratios)} products: {geometric_mean(ratios):.2f} times {STOCK}'s time as "
        f"the geometric mean, more than 1.1 times in {slower}"
    )
