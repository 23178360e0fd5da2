"""`jax-npu insts` and `jax-npu disasm`: instruction words, written and listed."""

import argparse
from pathlib import Path
from typing import Any

from jax_npu.commands.array_flags import add_array_flags, add_size_flags, plan_of
from jax_npu.commands.input_output import read_words
from jax_npu.commands.product_size import require_product_size
from jax_npu.files import write_file

MAX_RUNS = 64


def add_insts_command(commands: Any) -> None:
    insts = commands.add_parser("insts", help="write a GEMM's instruction words")
    add_array_flags(insts)
    add_size_flags(insts)
    insts.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        required=True,
        help="file to write; insts.bin has its second run in insts.1.bin",
    )
    insts.add_argument(
        "--max-runs",
        type=int,
        default=MAX_RUNS,
        help=f"files that may be written, one for each run (default: {MAX_RUNS})",
    )
    insts.set_defaults(command=_insts)


def add_disasm_command(commands: Any) -> None:
    disasm = commands.add_parser("disasm", help="list instruction words, readable")
    disasm.add_argument("words", type=Path)
    disasm.set_defaults(command=_disasm)


def _insts(arguments: argparse.Namespace) -> None:
    from xdna.gemm.stream import run_words

    require_product_size(arguments)
    plan = plan_of(arguments)
    if len(plan.runs) > arguments.max_runs:
        raise ValueError(
            f"this product has {len(plan.runs):,} runs, and each would be a file; "
            f"--max-runs {len(plan.runs)} writes them"
        )
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
