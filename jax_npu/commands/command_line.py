"""`jax-npu`: the NPU's program from the shell.

jax-npu design --device npu1 --tile 64 64 32 -o design.mlir
jax-npu check design.mlir
jax-npu plan --device npu1 -m 256 -k 768 -n 2304
jax-npu insts --device npu1 -m 256 -k 768 -n 2304 -o insts.bin
jax-npu disasm insts.bin
jax-npu simulate --gemm 256 768 2304 --check
jax-npu calibrate
jax-npu build --device npu1
jax-npu doctor
jax-npu report
jax-npu bench gemm --backend host --against xla
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import rich
from rich.table import Table

from jax_npu.commands.bench import add_bench_command
from jax_npu.commands.calibrate import add_calibrate_command
from jax_npu.commands.doctor import add_doctor_command
from jax_npu.commands.files import read_design, read_words
from jax_npu.commands.report import add_report_command
from jax_npu.commands.simulate import add_simulate_command
from jax_npu.files import write_file
from jax_npu.toolchain.build import add_build_command
from xdna.devices import DEVICES
from xdna.gemm.array import ELEMENT_BYTES, GemmArray
from xdna.gemm.tiling import Plan, make_plan
from xdna.simulator import Trap


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are one line on stderr and exit code 2, traps 1."""
    arguments = _parser().parse_args(argv)
    exit_code = 0
    try:
        exit_code = arguments.command(arguments) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # of `| head`; nothing more can be printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Trap as trap:
        print(f"jax-npu: {trap}", file=sys.stderr)
        return 1
    except (OSError, ValueError, MemoryError) as error:
        print(f"jax-npu: {error}", file=sys.stderr)
        return 2
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jax-npu", description="The NPU's program: designs, plans, instructions."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    design = commands.add_parser("design", help="write the array's design as MLIR")
    _add_array_flags(design)
    design.add_argument("--generic", action="store_true", help="MLIR's generic form")
    design.add_argument("-o", "--out", type=Path, help="file (default: stdout)")
    design.set_defaults(command=_design)

    check = commands.add_parser("check", help="check a design against the hardware")
    check.add_argument("design", type=Path)
    check.set_defaults(command=_check)

    plan = commands.add_parser("plan", help="show how a GEMM is tiled and split")
    _add_array_flags(plan)
    _add_size_flags(plan)
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(command=_plan)

    insts = commands.add_parser("insts", help="write a GEMM's instruction words")
    _add_array_flags(insts)
    _add_size_flags(insts)
    insts.add_argument("-o", "--out", type=Path, required=True)
    insts.set_defaults(command=_insts)

    disasm = commands.add_parser("disasm", help="list instruction words, readable")
    disasm.add_argument("words", type=Path)
    disasm.set_defaults(command=_disasm)

    add_simulate_command(commands)
    add_calibrate_command(commands)
    add_build_command(commands)
    add_doctor_command(commands)
    add_report_command(commands)
    add_bench_command(commands)
    return parser


def _add_array_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="npu1", help=f"one of {', '.join(DEVICES)} (default: npu1)"
    )
    parser.add_argument(
        "--tile",
        type=int,
        nargs=3,
        metavar=("M", "K", "N"),
        default=(64, 64, 64),
        help="of one core (default: 64 64 64)",
    )
    parser.add_argument(
        "--c-type",
        choices=list(ELEMENT_BYTES),
        default="float32",
        help="of the result in DDR (default: float32)",
    )
    parser.add_argument(
        "--b-column-major", action="store_true", help="B lies as (n, k)"
    )


def _add_size_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-b", "--batch", type=int, default=1)
    for size in "mkn":
        parser.add_argument(f"-{size}", type=int, required=True)
    parser.add_argument(
        "--a-order", default="mk", help="how A lies: mk or km (default: mk)"
    )
    parser.add_argument(
        "--b-order", default="kn", help="how B lies: kn or nk (default: kn)"
    )


def _array(arguments: argparse.Namespace) -> GemmArray:
    m, k, n = arguments.tile
    return GemmArray(
        arguments.device, m, k, n, arguments.c_type, arguments.b_column_major
    )


def _array_and_plan(arguments: argparse.Namespace) -> Plan:
    a = arguments
    return make_plan(_array(a), a.batch, a.m, a.k, a.n, a.a_order, a.b_order)


def _design(arguments: argparse.Namespace) -> None:
    from xdna.dialect.text import print_module
    from xdna.gemm.design import gemm_design

    text = print_module(gemm_design(_array(arguments)), generic=arguments.generic)
    if arguments.out is None:
        print(text)
    else:
        write_file(arguments.out, text.encode())


def _check(arguments: argparse.Namespace) -> None:
    from xdna.check.target import check_design, fullest_core

    design = read_design(arguments.design)
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


def _plan(arguments: argparse.Namespace) -> None:
    plan = _array_and_plan(arguments)
    if arguments.json:
        print(json.dumps(_plan_record(plan), indent=2))
    else:
        rich.print(_plan_table(plan))
    for notice in plan.notices:
        print(f"jax-npu: {notice}", file=sys.stderr)


def _plan_record(plan: Plan) -> dict:
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


def _insts(arguments: argparse.Namespace) -> None:
    from xdna.gemm.stream import run_words

    plan = _array_and_plan(arguments)
    out: Path = arguments.out
    for index, run in enumerate(plan.runs):
        # One run is one submission; further ones get files of their own.
        path = out if index == 0 else out.with_suffix(f".{index}{out.suffix}")
        words = run_words(plan, run)
        write_file(path, words.astype("<u4").tobytes())
        print(f"{path}: {len(words):,} words")


def _disasm(arguments: argparse.Namespace) -> None:
    from xdna.stream.disassembly import disassemble

    words = read_words(arguments.words)
    try:
        print(disassemble(words))
    except ValueError as error:
        raise ValueError(f"{arguments.words}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
