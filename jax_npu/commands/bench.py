"""`jax-npu bench`: products on one backend against others, side by side."""

from typing import Any

from jax_npu.bench.dispatch import add_dispatch_bench
from jax_npu.bench.gemm import add_gemm_bench
from jax_npu.bench.sweep import add_sweep_bench


def add_bench_command(commands: Any) -> None:
    parser = commands.add_parser("bench", help="time products, backend by backend")
    parsers = parser.add_subparsers(required=True, metavar="WHAT")
    add_gemm_bench(parsers)
    add_dispatch_bench(parsers)
    add_sweep_bench(parsers)
