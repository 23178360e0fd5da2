"""`jax-npu design` and `jax-npu check`: the array's design as MLIR.

With `--search`, `jax-npu design` looks for the design that suits a workload best.
"""

import argparse
from pathlib import Path
from typing import Any

from jax_npu.commands.array_flags import add_array_flags, array_of
from jax_npu.commands.designs.search import (
    add_search_flags,
    print_search,
    refuse_search_flags,
)
from jax_npu.commands.input_output import read_whole_design
from jax_npu.commands.machine_flags import device_of
from jax_npu.files import write_file
from xdna.releases import SYNTAXES


def add_design_command(commands: Any) -> None:
    design = commands.add_parser("design", help="write the array's design as MLIR")
    add_array_flags(design, device=None)
    design.add_argument("--generic", action="store_true", help="MLIR's generic form")
    design.add_argument(
        "--mlir-aie",
        choices=SYNTAXES,
        default=SYNTAXES[0],
        help="the release whose syntax the text is in (default: %(default)s)",
    )
    design.add_argument("-o", "--out", type=Path, help="file (default: stdout)")
    add_search_flags(design)
    design.set_defaults(command=_design)


def add_check_command(commands: Any) -> None:
    check = commands.add_parser("check", help="check a design against the hardware")
    check.add_argument("design", type=Path)
    check.set_defaults(command=_check)


def _design(arguments: argparse.Namespace) -> None:
    arguments.device = device_of(arguments)
    if arguments.search:
        print_search(arguments)
        return
    refuse_search_flags(arguments)
    from xdna.dialect.text import print_module
    from xdna.gemm.design import gemm_design

    design = gemm_design(array_of(arguments))
    text = print_module(design, arguments.generic, arguments.mlir_aie)
    if arguments.out is None:
        print(text)
    else:
        write_file(arguments.out, text.encode())


def _check(arguments: argparse.Namespace) -> None:
    from xdna.check.whole_design import check_design, fullest_core

    design = read_whole_design(arguments.design)
    violations = check_design(design)
    for violation in violations:
        print(violation)
    if violations:
        raise ValueError(f"{arguments.design}: {len(violations)} violation(s)")
    left = ""
    if (fullest := fullest_core(design)) is not None:
        tile, room = fullest
        left = f"; {room} bytes left for .data and .rodata in the fullest core, {tile}"
    print(f"{arguments.design}: ok{left}")
