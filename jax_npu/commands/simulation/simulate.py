"""`jax-npu simulate`: a design and a stream, or one of our GEMMs, on the virtual NPU.

    jax-npu simulate design.mlir insts.bin --in a.npy --out c.npy:float32:64x64
    jax-npu simulate --gemm 256 768 2304 --check

The buffers of a design are the stream's arguments, in the order of --in and --out on
the command line.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from jax_npu.commands.array_flags import (
    IMAGE_FLAGS,
    FlagGroup,
    add_image_flags,
    add_tile_flag,
)
from jax_npu.commands.machine_flags import add_compiler_flag, add_machine_flags
from jax_npu.commands.simulation.hints import with_hint
from jax_npu.commands.simulation.simulate_design import simulate_design
from jax_npu.commands.simulation.simulate_gemm import simulate_gemm
from xdna.arithmetics import ARITHMETICS
from xdna.gemm.array import ELEMENT_BYTES
from xdna.simulator import Trap

GEMM_FLAGS = ("batch", "tile", "c_type", "check", "repeat", *IMAGE_FLAGS)
DESIGN_FLAGS = (
    "design",
    "design_name",
    "words",
    "pdi",
    "buffers",
    "kernels",
    "kernel",
    "kernel_flag",
)


def add_simulate_command(commands: Any) -> None:
    parser = commands.add_parser("simulate", help="run a design on the virtual NPU")
    _add_design_flags(parser)
    _add_gemm_flags(parser.add_argument_group("instead of a design, one of our GEMMs"))
    _add_array_flags(parser.add_argument_group("the array, and the machine around it"))
    _add_file_flags(parser.add_argument_group("what is shown and written"))
    parser.set_defaults(command=_simulate)


def _add_array_flags(group: FlagGroup) -> None:
    group.add_argument(
        "--device",
        metavar="NAME",
        help="default: the design's, or the machine's, or npu1",
    )
    add_machine_flags(group)
    add_compiler_flag(group)
    group.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        default="exact",
        help="of matmuls (default: exact)",
    )
    group.add_argument(
        "--b-column-major",
        "--b-col-major",
        action="store_true",
        help="matmuls take B as (n, k)",
    )


def _add_file_flags(group: FlagGroup) -> None:
    group.add_argument(
        "--trace", type=Path, metavar="FILE", help="file for Perfetto to open"
    )
    group.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="file of HTML that shows the run, for a browser",
    )
    group.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="earlier file of --report, whose run is shown beside this one",
    )
    group.add_argument(
        "--until", type=int, metavar="CYCLE", help="stop after that cycle of the array"
    )
    group.add_argument(
        "--dump",
        type=Path,
        metavar="FOLDER",
        help="write the array's state and memories at the end, a trap's included",
    )
    group.add_argument("--json", action="store_true", help="the report as JSON")


def _add_design_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("design", type=Path, nargs="?", help="MLIR, fully placed")
    parser.add_argument("words", type=Path, nargs="?", help="its instruction words")
    group = parser.add_argument_group("the design's arguments and kernels")
    group.add_argument(
        "--design",
        dest="design_name",
        metavar="NAME",
        help="the aie.device to load, where the file has several",
    )
    group.add_argument(
        "--pdi",
        action="append",
        metavar="ID=FILE[@NAME]",
        help="a design that the words load by LOADPDI of that id",
    )
    for flag, metavar in ("--in", "A.npy[:DTYPE]"), ("--out", "C.npy:DTYPE:SIZES"):
        group.add_argument(
            flag,
            dest="buffers",
            action="append",
            type=partial(_buffer, flag),
            metavar=metavar,
            help="the stream's next argument",
        )
    group.add_argument(
        "--kernels",
        type=Path,
        metavar="FILE",
        help="Python file with KERNELS, a list of Kernel, or kernels in C++ (.cc), "
        "which g++ compiles for the host",
    )
    group.add_argument(
        "--kernel",
        action="append",
        metavar="NAME=CYCLES[:ACCESSES]",
        help="what a call of a kernel in C++ takes, and a letter r, w, b (both) or - "
        "for each of its arguments",
    )
    group.add_argument(
        "--kernel-flag",
        action="append",
        metavar="FLAG",
        help="for the compiler of kernels in C++, as in --kernel-flag=-DDIM_M=64",
    )


def _buffer(flag: str, text: str) -> tuple[str, str]:
    """A buffer's flag and value: the order of --in and --out is the stream's."""
    return flag, text


def _add_gemm_flags(group: FlagGroup) -> None:
    group.add_argument(
        "--gemm",
        type=int,
        nargs=3,
        metavar=("M", "K", "N"),
        help="the product (M, K) x (K, N)",
    )
    group.add_argument(
        "--batch", type=int, metavar="N", help="products in the GEMM (default: 1)"
    )
    add_tile_flag(group)
    add_image_flags(group)
    group.add_argument(
        "--c-type",
        "--out-dtype",
        choices=list(ELEMENT_BYTES),
        help="type of the GEMM's result (default: float32)",
    )
    group.add_argument(
        "--check", action="store_true", help="compare the GEMM with NumPy"
    )
    group.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help="run the GEMM so many times, and print the simulator's speed",
    )


def _simulate(arguments: argparse.Namespace) -> None:
    is_gemm = arguments.gemm is not None
    if arguments.until is not None and arguments.until < 0:
        raise ValueError(f"--until must be a cycle from 0 on, got {arguments.until}")
    for name in DESIGN_FLAGS if is_gemm else GEMM_FLAGS:
        if getattr(arguments, name) not in (None, False):
            other = "a design" if is_gemm else "a GEMM"
            raise ValueError(
                f"{name.replace('_', '-')} belongs to {other}; leave it out here"
            )
    if is_gemm:
        simulate_gemm(arguments)
    elif arguments.words is None:
        raise ValueError(
            "simulate needs a design and its words, or --gemm M K N; aiecc writes the "
            "words with --aie-generate-npu-insts (1.3) or --get-npu-insts (1.4)"
        )
    else:
        try:
            simulate_design(arguments)
        except (Trap, ValueError) as error:
            raise type(error)(with_hint(str(error), arguments)) from error
