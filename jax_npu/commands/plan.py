"""`jax-npu plan`: how a GEMM is padded, tiled and split into runs."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

import rich
from rich.table import Table

from jax_npu.commands.array_flags import add_array_flags, add_size_flags, plan_of
from xdna.gemm.tiling import Plan


def add_plan_command(commands: Any) -> None:
    plan = commands.add_parser("plan", help="show how a GEMM is tiled and split")
    add_array_flags(plan)
    add_size_flags(plan)
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(command=_plan)


def _plan(arguments: argparse.Namespace) -> None:
    plan = plan_of(arguments)
    if arguments.json:
        print(json.dumps(_plan_record(plan), indent=2))
    else:
        rich.print(_plan_table(plan))
    for notice in plan.notices:
        print(f"jax-npu: {notice}", file=sys.stderr)


def _plan_record(plan: Plan) -> dict[str, Any]:
    return {
        **asdict(plan),
        "padded": asdict(plan.padded),
        "padding": plan.padding,
        "ddr_bytes": plan.ddr_bytes,
        "estimated_seconds": plan.seconds,
        "notices": plan.notices,
    }


def _plan_table(plan: Plan) -> Table:
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
    table.add_row("estimated time, ms", f"{plan.seconds * 1e3:.3f}")
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
