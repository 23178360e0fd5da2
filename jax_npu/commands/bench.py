"""`jax-npu bench`: products and AdamW, side by side with XLA's."""

from typing import Any

from jax_npu.bench.adamw import add_adamw_bench
from jax_npu.bench.dispatch import add_dispatch_bench
from jax_npu.bench.gemm import add_gemm_bench
from jax_npu.bench.sweep import add_sweep_bench


def add_bench_command(commands: Any) -> None:
    parser = commands.add_parser(
        "bench", help="time products, backend by backend, and AdamW"
    )
    parsers = parser.add_subparsers(required=True, metavar="WHAT")
    add_gemm_bench(parsers)
    add_dispatch_bench(parsers)
    add_sweep_bench(parsers)
    add_adamw_bench(parsers)
