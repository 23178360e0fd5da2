"""`jax-npu bench adamw`: AdamW's update in one pass against optax's, compiled by XLA.

Both update the arrays of a GPT-2, after clipping by their norm. They take turns on the
same parameters and moments, which each step overwrites.
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
from rich.box import SIMPLE
from rich.table import Table

import jax_npu
from jax_npu.bench.arguments import require_at_least_1
from jax_npu.bench.side_by_side import (
    in_turn,
    machine_facts,
    spread,
    times_as_fast,
    versions,
    wide_console,
)

SEED = 0
VOCABULARY, POSITIONS = 50257, 1024  # GPT-2's
FUSED, STOCK = "fused", "optax"
Tree = Any


def add_adamw_bench(parsers: Any) -> None:
    parser = parsers.add_parser("adamw", help="AdamW in one pass against optax's")
    parser.add_argument("--layers", type=int, default=12, help="of GPT-2")
    parser.add_argument("--channels", type=int, default=768, help="its embedding")
    parser.add_argument("--repeats", type=int, default=9, help="steps of each")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    require_at_least_1(arguments, "layers", "channels", "repeats")
    params = random_arrays(arguments.layers, arguments.channels, seed=SEED)
    num_params = sum(param.size for param in params)
    seconds, num_bytes = measure(params, arguments.repeats)
    ratio = times_as_fast(seconds[FUSED], seconds[STOCK])
    if arguments.json:
        record = {
            **machine_facts(),
            "versions": versions("jax", "jaxlib", "jax-npu", "optax"),
            "params": num_params,
            "seconds": seconds,
            "bytes": num_bytes,
            "times_as_fast": asdict(ratio),
        }
        print(json.dumps(record, indent=2))
    else:
        wide_console().print(_table(num_params, seconds, num_bytes))
        facts = machine_facts()
        print(f"{FUSED} is {ratio:.2f} times as fast; {facts['cpu']}, {facts['isa']}")


def _table(
    num_params: int, seconds: dict[str, list[float]], num_bytes: dict[str, float]
) -> Table:
    table = Table("", title=f"AdamW of {num_params:,} parameters", box=SIMPLE)
    for column in ("s: median (lowest-highest)", "GB", "passes", "GB/s"):
        table.add_column(column, justify="right")
    for name, samples in seconds.items():
        times = spread(samples)
        gigabytes = num_bytes[name] / 1e9
        table.add_row(
            name,
            f"{times:.3f}",
            f"{gigabytes:.2f}",
            f"{num_bytes[name] / 4 / num_params:.1f}",  # over f32 parameters
            f"{gigabytes / times.median:.1f}",
        )
    return table


def random_arrays(layers: int, channels: int, seed: int) -> list[jax.Array]:
    """Arrays of the shapes of a GPT-2, small random numbers."""
    c = channels
    block = [(c,), (c,), (c, 3 * c), (3 * c,), (c, c), (c,), (c,), (c,)]
    block += [(c, 4 * c), (4 * c,), (4 * c, c), (c,)]
    shapes = [(VOCABULARY, c), (POSITIONS, c), *block * layers, (c,), (c,)]
    random = np.random.default_rng(seed)
    return [
        jnp.asarray(0.02 * random.standard_normal(shape, np.float32))
        for shape in shapes
    ]


def measure(
    params: list[jax.Array], repeats: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of every step and bytes of one, by contender.

    Bytes are those of the loops and calls that read and write arrays, the norm's too:
    the call's are counted, XLA's are from its analysis of the program.
    """
    fused = jax_npu.adamw(1e-4, b2=0.95, weight_decay=0.1, max_norm=1.0)
    grads = [param + 1e-3 for param in params]
    held: list[Tree] = [params, fused.init(params)]
    norm_bytes = sum(param.nbytes for param in params)
    steps, num_bytes = {}, {}
    for name, optimizer in ((FUSED, fused), (STOCK, fused.stock())):
        step = _compiled(optimizer, held, grads)
        steps[name] = _stepper(step, held, grads)
        before = jax_npu.counters()
        steps[name]()  # the first one is not measured
        counted = (jax_npu.counters() - before).optimizer_bytes
        accessed = float(step.cost_analysis()["bytes accessed"])
        num_bytes[name] = counted + norm_bytes if counted else accessed
    return dict(zip(steps, in_turn(list(steps.values()), repeats))), num_bytes


def _compiled(optimizer: Any, held: list[Tree], grads: Tree) -> Any:
    def step(params: Tree, state: Tree, grads: Tree) -> tuple[Tree, Tree]:
        return jax_npu.apply_gradients(optimizer, grads, state, params)

    jitted = jax.jit(step, donate_argnums=(0, 1))
    return jitted.lower(*held, grads).compile()


def _stepper(step: Any, held: list[Tree], grads: Tree) -> Callable[[], float]:
    """A function that takes a step and returns its seconds.

    `held` has the parameters and the state, for all contenders.
    """

    def take() -> float:
        start = time.perf_counter()
        held[:] = jax.block_until_ready(step(*held, grads))
        return time.perf_counter() - start

    return take
