"""`jax-npu bench dispatch`: what a small product costs through the custom call.

One jitted program is a chain of products, each of which needs the one before; the same
chain of stock dots runs in turn with it.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich
from rich.table import Table

import jax_npu
from jax_npu.bench.arguments import (
    STOCK,
    backend_against_stock,
    backend_of,
    require_at_least_1,
)
from jax_npu.bench.side_by_side import Spread, in_turn, machine_facts, spread, versions
from jax_npu.placing import ALL_ON_THE_NPU, placement

SEED = 0


def add_dispatch_bench(parsers: Any) -> None:
    parser = parsers.add_parser("dispatch", help="what a small product's call costs")
    parser.add_argument("--backend", help="the one that is measured, against xla")
    parser.add_argument("--size", type=int, default=16, help="m, k and n")
    parser.add_argument("--length", type=int, default=256, help="products in the chain")
    parser.add_argument("--repeats", type=int, default=25, help="runs of each chain")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    require_at_least_1(arguments, "size", "length", "repeats")
    backend = backend_against_stock(arguments.backend)
    size, length = arguments.size, arguments.length
    with placement(ALL_ON_THE_NPU):
        measured, stock = measure(backend, size, length, arguments.repeats)
    difference = spread([a - b for a, b in zip(measured, stock)])
    rows = {backend: spread(measured), STOCK: spread(stock), "difference": difference}
    if arguments.json:
        record = {
            **machine_facts(),
            "versions": versions("jax", "jaxlib", "jax-npu"),
            "size": size,
            "length": length,
            "microseconds_per_call": {name: asdict(row) for name, row in rows.items()},
        }
        print(json.dumps(record, indent=2))
    else:
        rich.print(_table(rows, size, length))


def measure(
    backend: str, size: int, length: int, repeats: int
) -> tuple[list[float], list[float]]:
    """Microseconds a product in each run of the chain: `backend`, then stock dots."""
    chains = [_chain(name, size, length) for name in (backend, STOCK)]
    measured, stock = in_turn(chains, repeats)
    return measured, stock


def _chain(backend: str, size: int, length: int) -> Callable[[], float]:
    random = np.random.default_rng(SEED)
    # Orthogonal, so that the longest chain neither grows nor vanishes.
    factor = jnp.asarray(
        np.linalg.qr(random.standard_normal((size, size)))[0], jnp.float32
    )

    @jax.jit
    def chain(x: jax.Array) -> jax.Array:
        for _ in range(length):
            x = jax_npu.matmul(x, factor, backend=backend_of(backend))
        return x

    def run() -> float:
        start = time.perf_counter()
        chain(factor).block_until_ready()
        return (time.perf_counter() - start) / length * 1e6

    run()
    return run


def _table(rows: dict[str, Spread], size: int, length: int) -> Table:
    title = f"A chain of {length} products, {size} x {size} x {size}"
    table = Table("", title=title, title_justify="left")
    table.add_column("us a product: median (lowest-highest)", justify="right")
    for name, row in rows.items():
        table.add_row(name, f"{row:.2f}")
    return table
