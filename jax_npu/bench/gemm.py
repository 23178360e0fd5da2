"""`jax-npu bench gemm`: single products on one backend against others.

    jax-npu bench gemm --backend host --against xla xla-bf16
    jax-npu bench gemm --backend sim -m 64 -k 128 -n 64 --b-order nk

Packing and conversion are timed with the product, because a program's operands are in
neither form. A result is written where the one before was, so that no fresh memory is
timed. Operands that fit the caches stay in them between calls; in training they do not.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jax_npu
from jax_npu.bench.arguments import (
    backend_of,
    contender_name,
    pace_if_asked,
    require_at_least_1,
)
from jax_npu.bench.chart import require_matplotlib
from jax_npu.bench.gemm_report import CaseResult, as_record, as_table, draw
from jax_npu.bench.gpt2_gemms import GPT2_GEMMS, GemmCase
from jax_npu.bench.in_place import Product, in_place, seconds_per_call, warm_up
from jax_npu.bench.peak import PeakMeter
from jax_npu.bench.side_by_side import (
    in_turn,
    machine_facts,
    reject_repeated,
    versions,
    wide_console,
)
from jax_npu.files import require_folder_of
from jax_npu.placing import ALL_ON_THE_NPU, placement
from jax_npu.runtime.counters import Counters

DTYPES = {"f32": jnp.float32, "bf16": jnp.bfloat16}
XLA_BF16 = "xla-bf16"  # the stock dot on operands rounded to bf16 first
MIN_SAMPLE_SECONDS = 0.02  # a sample is as many calls as fill this time
# Calls before a sample: Linux takes this long to spread threads that slept over cores.
MIN_WARMUP_SECONDS = 0.05
SEED = 0


@dataclass(frozen=True)
class Sample:
    seconds: float  # a call
    counters: Counters  # summed over all calls


def add_gemm_bench(parsers: Any) -> None:
    parser = parsers.add_parser("gemm", help="single products, by default GPT-2's")
    parser.add_argument("--backend", help="the one that is measured")
    parser.add_argument(
        "--against",
        nargs="*",
        default=[],
        metavar="NAME",
        help=f"the others: backends, or {XLA_BF16}, the stock dot of bf16 operands",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="f32", help="type of the operands"
    )
    for size in "mkn":
        parser.add_argument(f"-{size}", type=int, help="a product of your own")
    for operand, orders in ("a", ("mk", "km")), ("b", ("kn", "nk")):
        parser.add_argument(
            f"--{operand}-order",
            choices=orders,
            default=orders[0],
            help=f"order of {operand.upper()} in memory (default: {orders[0]})",
        )
    parser.add_argument("--repeats", type=int, default=5, help="samples of each")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.add_argument("--chart", type=Path, help="PNG of the table")
    parser.add_argument("--profile", type=Path, help="trace of one call of each")
    parser.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    require_at_least_1(arguments, "repeats")
    require_folder_of(arguments.chart, arguments.profile)
    if arguments.chart:
        require_matplotlib()
    pace_if_asked(arguments.backend, *arguments.against)
    names = [_resolve(name) for name in [arguments.backend, *arguments.against]]
    reject_repeated(names)
    cases = _cases(arguments)
    dtype = DTYPES[arguments.dtype]
    peak = PeakMeter()
    peak.sample()
    with placement(ALL_ON_THE_NPU):
        results = [
            measure(case, names, dtype, arguments.repeats, peak) for case in cases
        ]
    if arguments.json:
        facts = machine_facts() | {"versions": versions("jax", "jaxlib", "jax-npu")}
        record = as_record(results, peak) | {"dtype": arguments.dtype}
        print(json.dumps(facts | record, indent=2))
    else:
        wide_console().print(as_table(results, peak))
        facts = machine_facts()
        print(f"{facts['cpu']}, {facts['cores']} cores, {facts['isa']}; {peak}")
    if arguments.chart:
        draw(arguments.chart, results, peak)
    if arguments.profile:
        profile(arguments.profile, cases, names[0], dtype)


def _resolve(name: str | None) -> str:
    return name if name == XLA_BF16 else contender_name(name)


def _cases(arguments: argparse.Namespace) -> Sequence[GemmCase]:
    sizes = arguments.m, arguments.k, arguments.n
    if sizes == (None, None, None):
        return GPT2_GEMMS
    if None in sizes or min(sizes) < 1:
        raise ValueError("a product of your own needs -m, -k and -n of at least 1")
    m, k, n = sizes
    return [GemmCase("given", m, k, n, arguments.a_order, arguments.b_order)]


def measure(
    case: GemmCase, names: Sequence[str], dtype: Any, repeats: int, peak: PeakMeter
) -> CaseResult:
    """One product on each of the contenders in turn, after calls that compile it."""
    lhs, rhs = _operands(case, dtype)
    products = [in_place(_product(case, name), lhs, rhs) for name in names]
    num_calls = _num_calls(products[0])

    def sampler(call: Callable[[], None]) -> Callable[[], Sample]:
        return lambda: _sample(call, num_calls)

    samples = in_turn([sampler(call) for call in products], repeats, peak.sample)
    counted = sum((s.counters for s in samples[0][1:]), samples[0][0].counters)
    return CaseResult(
        case,
        dict(zip(names, ([s.seconds for s in row] for row in samples))),
        counted,
        repeats * num_calls,
    )


def _operands(case: GemmCase, dtype: Any) -> tuple[jax.Array, jax.Array]:
    random = np.random.default_rng(SEED)
    size = {"m": case.m, "k": case.k, "n": case.n}
    lhs, rhs = (
        jnp.asarray(random.standard_normal([size[c] for c in order], np.float32), dtype)
        for order in (case.lhs_order, case.rhs_order)
    )
    return lhs, rhs


def _product(case: GemmCase, name: str) -> Product:
    k = case.lhs_order.index("k"), case.rhs_order.index("k")
    numbers = ((k[:1], k[1:]), ((), ()))

    def rounded(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        halves = lhs.astype(jnp.bfloat16), rhs.astype(jnp.bfloat16)
        return jax.lax.dot_general(*halves, numbers, preferred_element_type=lhs.dtype)

    def product(lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        return jax_npu.dot_general(lhs, rhs, numbers, backend=backend_of(name))

    return rounded if name == XLA_BF16 else product


def _num_calls(call: Callable[[], None]) -> int:
    seconds = _sample(call, 1).seconds
    return max(1, round(MIN_SAMPLE_SECONDS / seconds))


def _sample(call: Callable[[], None], num_calls: int) -> Sample:
    warm_up(call, MIN_WARMUP_SECONDS)
    before = jax_npu.counters()
    seconds = seconds_per_call(call, num_calls)
    return Sample(seconds, jax_npu.counters() - before)


def profile(path: Path, cases: Sequence[GemmCase], name: str, dtype: Any) -> None:
    """One call of each product; those of a stock dot leave no trace."""
    calls = [in_place(_product(c, name), *_operands(c, dtype)) for c in cases]
    with placement(ALL_ON_THE_NPU), jax_npu.trace_calls(path):
        for call in calls:
            call()
