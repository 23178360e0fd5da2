"""`jax-npu plan`: how a GEMM is padded, tiled and split into runs."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

import rich
from rich.table import Table

from jax_npu.commands.array_flags import add_array_flags, add_size_flags, plan_of
from jax_npu.commands.machine_flags import (
    add_compiler_flag,
    add_machine_flags,
    device_of,
    machine_of,
)
from jax_npu.commands.product_size import require_product_size
from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.forecast import Forecast, Pace, forecast
from xdna.gemm.tiling import Plan
from xdna.timing import timing


def add_plan_command(commands: Any) -> None:
    plan = commands.add_parser("plan", help="show how a GEMM is tiled and split")
    add_size_flags(plan)
    add_array_flags(plan, device=None)
    machine = plan.add_argument_group("the machine around it")
    add_machine_flags(machine)
    add_compiler_flag(machine)
    plan.add_argument("--json", action="store_true", help="the same as JSON")
    plan.set_defaults(command=_plan)


def _plan(arguments: argparse.Namespace) -> None:
    require_product_size(arguments)
    arguments.device = device_of(arguments)
    machine = machine_of(arguments, arguments.device)
    plan = plan_of(arguments)
    arithmetic = arithmetic_of_chip(arguments.device)
    times = timing(arguments.device, machine, arguments.compiler)
    expected = forecast(plan, times, arithmetic)
    named = {
        "machine": machine.name,
        "compiler": arguments.compiler,
        "arithmetic": arithmetic,
    }
    if arguments.json:
        print(json.dumps(_plan_record(plan, expected) | named, indent=2))
    else:
        rich.print(_plan_table(plan, expected, named))
    for notice in plan.notices:
        print(f"jax-npu: {notice}", file=sys.stderr)


def _plan_record(plan: Plan, expected: Forecast) -> dict[str, Any]:
    return {
        **asdict(plan),
        "padded": asdict(plan.padded),
        "padding": plan.padding,
        "ddr_bytes": plan.ddr_bytes,
        "estimated_seconds": expected.seconds,
        "launch_seconds": expected.launches,
        "bound": expected.pace.bound,
        "seconds_by_part": expected.pace._asdict(),
        "notices": plan.notices,
    }


def _plan_table(plan: Plan, expected: Forecast, named: dict[str, Any]) -> Table:
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
    table.add_row(
        "estimated time, ms",
        f"{expected.seconds * 1e3:.3f}, {expected.launches * 1e3:.3f} of them launches",
    )
    table.add_row("  if there were only, ms", _parts(expected.pace))
    table.add_row(
        "  on", "{machine}, kernels by {compiler}, {arithmetic}".format(**named)
    )
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


def _parts(pace: Pace) -> str:
    return ", ".join(
        f"{name} {seconds * 1e3:.3f}" for name, seconds in pace._asdict().items()
    )
