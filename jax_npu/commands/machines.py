"""`jax-npu machines`: the machines that times can hold for, and their numbers."""

import argparse
import json
from dataclasses import asdict
from typing import Any

import rich
from rich import box
from rich.table import Table

from xdna.machine_choice import machine, profile_text
from xdna.machines import DEFAULT_MACHINES, MACHINES, Machine


def add_machines_command(commands: Any) -> None:
    parser = commands.add_parser(
        "machines", help="list the machines that simulated times hold for"
    )
    parser.add_argument(
        "machine",
        nargs="?",
        metavar="NAME|FILE.toml",
        help="a machine, or a profile of your own: all its numbers and their sources",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--toml", action="store_true", help="the profile as a file to edit"
    )
    form.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(command=_machines)


def _machines(arguments: argparse.Namespace) -> None:
    if arguments.machine is None:
        if arguments.toml:
            raise ValueError(f"--toml needs a machine: {', '.join(MACHINES)}")
        if arguments.json:
            print(json.dumps([asdict(one) for one in MACHINES.values()], indent=2))
        else:
            rich.print(_table())
        return
    one = machine(arguments.machine)
    if arguments.toml:
        print(profile_text(one), end="")
    elif arguments.json:
        print(json.dumps(asdict(one), indent=2))
    else:
        rich.print(_numbers(one))


def _table() -> Table:
    table = Table(
        *("machine", "NPU", "GHz", "DDR, GB/s", "launch", "CPU", "cores"),
        box=box.SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    table.columns[0].no_wrap = True
    for one in MACHINES.values():
        default = " *" if one.name == DEFAULT_MACHINES[one.device] else ""
        scope = "in all" if one.ddr_directions_shared else "each way"
        table.add_row(
            one.name + default,
            one.device,
            f"{one.clock_hz / 1e9:g}",
            f"{one.ddr_bytes_per_second / 1e9:g} {scope}",
            f"{one.launch_seconds * 1e6:g} us",
            one.cpu.model.removeprefix("AMD "),
            str(one.cpu.cores),
        )
    table.caption = "* the default for its NPU"
    table.caption_justify = "left"
    return table


def _numbers(one: Machine) -> Table:
    table = Table("", one.name, "source", box=box.SIMPLE, pad_edge=False)
    table.columns[0].no_wrap = True
    values: dict[str, Any] = asdict(one)
    del values["name"], values["sources"]
    for group in "cpu", "power":
        part = values.pop(group)
        values |= {f"{group}.{name}": value for name, value in part.items()}
    for name, value in values.items():
        table.add_row(name, _readable(value), one.source(name))
    return table


def _readable(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float) or 1e-3 <= value < 1e6:
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"{value / 1e9:g}e9" if value > 1 else f"{value * 1e6:g}e-6"
