"""`jax-npu plan`: how a GEMM is padded, tiled and split into runs."""

import argparse
import json
import math
import sys
from dataclasses import asdict
from typing import Any

import rich
from rich.table import Table

from jax_npu.commands.array_flags import add_array_flags, add_size_flags, plan_of
from jax_npu.commands.machine_flags import (
    RUNS_OF_A_LIST,
    add_compiler_flag,
    add_machine_flags,
    device_of,
    machine_of,
)
from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.tiling import Plan
from xdna.machines import Machine
from xdna.timing import timing


def add_plan_command(commands: Any) -> None:
    plan = commands.add_parser("plan", help="show how a GEMM is tiled and split")
    add_array_flags(plan, device=None)
    add_size_flags(plan)
    add_machine_flags(plan)
    add_compiler_flag(plan)
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(command=_plan)


def _plan(arguments: argparse.Namespace) -> None:
    arguments.device = device_of(arguments)
    machine = machine_of(arguments, arguments.device)
    plan = plan_of(arguments)
    least = {
        "machine": machine.name,
        "compiler": arguments.compiler,
        "arithmetic": arithmetic_of_chip(arguments.device),
        "least_seconds": least_seconds(plan, machine, arguments.compiler),
    }
    if arguments.json:
        print(json.dumps(_plan_record(plan) | least, indent=2))
    else:
        rich.print(_plan_table(plan, least))
    for notice in plan.notices:
        print(f"jax-npu: {notice}", file=sys.stderr)


def least_seconds(plan: Plan, machine: Machine, compiler: str) -> float:
    """Seconds that the machine takes at least: launches, then all cores or DDR.

    With the arithmetic of the chip. `jax-npu simulate` knows what waits for what.
    """
    array = plan.array
    times = timing(array.device_name, machine, compiler)
    is_bfp16 = arithmetic_of_chip(array.device_name) == "bfp16"
    mkn = times.matmul_bfp16_mkn if is_bfp16 else times.matmul_exact_mkn
    mn = times.matmul_bfp16_mn if is_bfp16 else times.matmul_exact_mn
    # C (m, n) += A (m, k) B (k, n), on all cores at once
    multiply = mkn * array.m * array.k * array.n + mn * array.m * array.n
    cores = math.prod(plan.blocks) * plan.k_steps * multiply / times.clock_hz
    num_bytes = plan.ddr_bytes
    ways = num_bytes["a"] + num_bytes["b"], num_bytes["c"]
    slower = sum(ways) if times.ddr_directions_shared else max(ways)
    num_runs = len(plan.runs)
    num_lists = -(-num_runs // RUNS_OF_A_LIST)
    launches = (
        num_lists * times.launch
        + (num_runs - num_lists) * times.chained_launch
        + num_runs * times.first_sync
    )
    return (
        num_lists * times.launch_seconds
        + launches / times.clock_hz
        + max(cores, slower / times.ddr_bytes_per_second)
    )


def _plan_record(plan: Plan) -> dict[str, Any]:
    return {
        **asdict(plan),
        "padded": asdict(plan.padded),
        "padding": plan.padding,
        "ddr_bytes": plan.ddr_bytes,
        "estimated_seconds": plan.seconds,
        "notices": plan.notices,
    }


def _plan_table(plan: Plan, least: dict[str, Any]) -> Table:
    array, gemm, padded = plan.array, plan.gemm, plan.padded
    title = (
        f"{gemm.batch} x ({gemm.m}, {gemm.k}) x ({gemm.k}, {gemm.n}) on "
        f"{array.device_name}, tile ({array.m}, {array.k}, {array.n})"
    )
    table = Table("", "", title=title, title_justify="left", show_header=False)
    swapped = ", as Cᵀ = Bᵀ Aᵀ" if plan.swapped else ""
    table.add_row("operands lie as", f"A {gemm.a_order}, B {gemm.b_order}")
    table.add_row("padded", f"({padded.m}, {padded.k}, {padded.n}){swapped}")
    table.add_row("work over what was asked", f"{plan.padding:.2f}")
    table.add_row(
        "DDR traffic, MB",
        ", ".join(f"{x.upper()} {v / 1e6:.2f}" for x, v in plan.ddr_bytes.items()),
    )
    # The split into runs must hold for any machine.
    table.add_row("cautious estimate, ms", f"{plan.seconds * 1e3:.3f} on the array")
    table.add_row("at least, ms", f"{least['least_seconds'] * 1e3:.3f} with launches")
    named = f"{least['machine']}, kernels by {least['compiler']}, {least['arithmetic']}"
    table.add_row("  on", named)
    table.add_row("runs", f"{len(plan.runs):,}")
    for index, run in enumerate(plan.runs[:8]):
        table.add_row(
            f"run {index}",
            f"blocks {run.grid} from {run.start}, {run.num_steps} steps along "
            f"{run.along}",
        )
    if len(plan.runs) > 8:
        table.add_row("...", f"{len(plan.runs) - 8:,} more")
    return table
