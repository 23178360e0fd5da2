"""`jax-npu forecast`: what a training step of GPT-2 would take on a machine."""

import argparse
import json
from pathlib import Path
from typing import Any

from jax_npu.bench.chart import require_matplotlib
from jax_npu.files import require_folder_of
from jax_npu.lowering.placement.this_machine import THIS, machine_and_table
from xdna.machines import MACHINES
from xdna.placement.product import OBJECTIVES
from xdna.training.models import MODELS, model_named


def add_forecast_command(commands: Any) -> None:
    parser = commands.add_parser(
        "forecast", help="what a training step of GPT-2 would take on a machine"
    )
    parser.add_argument(
        "--model", choices=MODELS, default="gpt2", help="default: gpt2, 124M"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="default: 4")
    parser.add_argument("--seq-len", type=int, default=64, help="default: 64")
    parser.add_argument(
        "--machine",
        metavar=f"NAME|FILE.toml|{THIS}",
        default="7940hs",
        help=f"one of {', '.join(MACHINES)}, a profile of your own, or {THIS}, whose "
        "CPU is measured (default: 7940hs)",
    )
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        default="time",
        help="what auto places products for (default: time)",
    )
    parser.add_argument(
        "--assumptions", action="store_true", help="print what it rests on, too"
    )
    parser.add_argument("--json", action="store_true", help="all figures as JSON")
    parser.add_argument("--chart", type=Path, help="PNG: the parts as stacked bars")
    parser.set_defaults(command=_forecast)


def _forecast(arguments: argparse.Namespace) -> None:
    # With the simulator's half of the package, which takes long to import.
    from jax_npu.commands.forecasting.report import draw, print_tables, record
    from xdna.training.forecast import forecast_step

    require_folder_of(arguments.chart)
    if arguments.chart:
        require_matplotlib()
    machine, table = machine_and_table(arguments.machine)
    found = forecast_step(
        model_named(arguments.model),
        arguments.batch_size,
        arguments.seq_len,
        machine,
        arguments.objective,
        table,
    )
    if arguments.json:
        print(json.dumps(record(arguments.model, found), indent=2))
    else:
        print_tables(arguments.model, found, arguments.assumptions)
    if arguments.chart:
        draw(arguments.chart, arguments.model, found)
