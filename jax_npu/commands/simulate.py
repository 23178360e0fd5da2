"""`jax-npu simulate`: a design and a stream, or one of our GEMMs, on the virtual NPU.

    jax-npu simulate design.mlir insts.bin --in a.npy --out c.npy:float32:64x64
    jax-npu simulate --gemm 256 768 2304 --check

The buffers of a design are the stream's arguments, in the order of --in and --out on
the command line.
"""

import argparse
import json
import statistics
import sys
import time
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import rich

from jax_npu.commands.array_flags import add_tile_flag
from jax_npu.commands.input_output import (
    empty_array,
    read_array,
    read_design,
    read_words,
    write_array,
)
from jax_npu.commands.simulation_report import report_record, report_table
from jax_npu.files import write_file
from xdna.arithmetics import ARITHMETICS
from xdna.dialect.aie import DeviceOp
from xdna.gemm.array import ELEMENT_BYTES, TILE, GemmArray
from xdna.gemm.design import gemm_design
from xdna.gemm.tiling import make_plan
from xdna.load.configuration import configuration
from xdna.simulator import Kernel, Report, Trap, VirtualNpu
from xdna.simulator.gemm import (
    largest_error,
    random_operands,
    result,
    submissions,
)

GEMM_FLAGS = ("batch", "tile", "c_type", "check", "repeat")
DESIGN_FLAGS = ("design", "words", "buffers", "kernels")


def add_simulate_command(commands: Any) -> None:
    parser = commands.add_parser("simulate", help="run a design on the virtual NPU")
    _add_design_flags(parser)
    _add_gemm_flags(parser)
    parser.add_argument("--device", help="default: the design's, or npu1")
    parser.add_argument("--arithmetic", choices=ARITHMETICS, default="exact")
    parser.add_argument(
        "--b-column-major",
        "--b-col-major",
        action="store_true",
        help="matmuls take B as (n, k)",
    )
    parser.add_argument("--trace", type=Path, help="file for Perfetto to open")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.set_defaults(command=_simulate)


def _add_design_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("design", type=Path, nargs="?", help="MLIR, fully placed")
    parser.add_argument("words", type=Path, nargs="?", help="its instruction words")
    for flag, metavar in ("--in", "A.npy[:DTYPE]"), ("--out", "C.npy:DTYPE:SIZES"):
        parser.add_argument(
            flag,
            dest="buffers",
            action="append",
            type=partial(_buffer, flag),
            metavar=metavar,
            help="the stream's next argument",
        )
    parser.add_argument(
        "--kernels", type=Path, help="Python file with KERNELS, a list of Kernel"
    )


def _buffer(flag: str, text: str) -> tuple[str, str]:
    """A buffer's flag and value: the order of --in and --out is the stream's."""
    return flag, text


def _add_gemm_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gemm", type=int, nargs=3, metavar=("M", "K", "N"))
    parser.add_argument("--batch", type=int, help="products in the GEMM (default: 1)")
    add_tile_flag(parser, default=None)
    parser.add_argument(
        "--c-type",
        "--out-dtype",
        choices=list(ELEMENT_BYTES),
        help="type of the GEMM's result (default: float32)",
    )
    parser.add_argument(
        "--check", action="store_true", help="compare the GEMM with NumPy"
    )
    parser.add_argument(
        "--repeat",
        type=int,
        help="run the GEMM this many times, and print the simulator's speed",
    )


def _simulate(arguments: argparse.Namespace) -> None:
    is_gemm = arguments.gemm is not None
    for name in DESIGN_FLAGS if is_gemm else GEMM_FLAGS:
        if getattr(arguments, name) not in (None, False):
            other = "a design" if is_gemm else "a GEMM"
            raise ValueError(
                f"{name.replace('_', '-')} belongs to {other}; leave it out here"
            )
    if is_gemm:
        _simulate_gemm(arguments)
    elif arguments.words is None:
        raise ValueError("simulate needs a design and its words, or --gemm M K N")
    else:
        _simulate_design(arguments)


def _simulate_design(arguments: argparse.Namespace) -> None:
    module = read_design(arguments.design)
    for device in (op for op in module.walk() if isinstance(op, DeviceOp)):
        if arguments.device not in (None, device.device_name):
            raise ValueError(
                f"{arguments.design} is for {device.device_name}, not for "
                f"{arguments.device}; leave --device out, or give the design for it"
            )
    words = read_words(arguments.words)
    outputs, buffers = [], []
    for flag, spec in arguments.buffers or []:
        if flag == "--out":
            outputs.append(empty_array(spec))
        buffers.append(outputs[-1][1] if flag == "--out" else read_array(spec))
    npu = VirtualNpu(
        configuration(module),
        arguments.arithmetic,
        arguments.b_column_major,
        _kernels(arguments.kernels) if arguments.kernels else (),
    )
    report = _run(npu, [(words, buffers)], arguments.trace)
    for path, array in outputs:
        write_array(path, array)
    _print(report, {}, str(arguments.design), arguments.json)


def _kernels(path: Path) -> list[Kernel]:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ValueError(f"{path} is not a Python file with KERNELS")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    kernels = getattr(module, "KERNELS", None)
    if not isinstance(kernels, list | tuple) or not all(
        isinstance(kernel, Kernel) for kernel in kernels
    ):
        raise ValueError(f"{path} must define KERNELS, a list of xdna.simulator.Kernel")
    return list(kernels)


def _simulate_gemm(arguments: argparse.Namespace) -> None:
    device, batch = arguments.device or "npu1", arguments.batch or 1
    repeat = arguments.repeat or 1
    if min(batch, repeat) < 1:
        raise ValueError(
            f"--batch and --repeat must be at least 1, got {batch}, {repeat}"
        )
    m, k, n = arguments.tile or TILE
    out = arguments.c_type or "float32"
    array = GemmArray(device, m, k, n, out, arguments.b_column_major)
    plan = make_plan(array, batch, *arguments.gemm)
    a, b = random_operands(plan)
    text = configuration(gemm_design(array))
    walls = []
    for _ in range(repeat):
        npu = VirtualNpu(text, arguments.arithmetic, arguments.b_column_major)
        runs = list(submissions(plan, a, b))
        start = time.perf_counter()
        report = _run(npu, [(run.words, run.buffers) for run in runs], arguments.trace)
        walls.append(time.perf_counter() - start)
    further: dict[str, Any] = {}
    if arguments.check:
        error, bound = largest_error(a, b, result(plan, runs), arguments.arithmetic)
        further["check"] = {"largest_error": error, "bound": bound}
    if arguments.repeat:
        further["wall_seconds"] = statistics.median(walls)
    m, k, n = arguments.gemm
    title = f"{batch} x ({m}, {k}) x ({k}, {n}), tile ({array.m}, {array.k}, {array.n})"
    _print(report, further, title, arguments.json)
    for notice in plan.notices:
        print(f"jax-npu: {notice}", file=sys.stderr)
    if arguments.check and not error <= bound:
        raise Trap(
            f"the result is wrong: an error of {error:.1e} of its accumulated mass, "
            f"at most {bound:.0e} is due to {arguments.arithmetic} arithmetic"
        )


def _run(
    npu: VirtualNpu,
    runs: list[tuple[np.ndarray, list[np.ndarray]]],
    trace: Path | None,
) -> Report:
    if trace is not None:
        npu.start_trace()
    try:
        for words, buffers in runs:
            npu.run(words, buffers)
    finally:  # a trap's trace shows what led there
        if trace is not None:
            write_file(trace, npu.trace().encode())
    return npu.report()


def _print(report: Report, further: dict[str, Any], title: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report_record(report) | further, indent=2))
        return
    table = report_table(report, title)
    if check := further.get("check"):
        table.add_row(
            "largest error against NumPy",
            f"{check['largest_error']:.1e} of the accumulated mass, bound "
            f"{check['bound']:.0e}",
        )
    if wall := further.get("wall_seconds"):
        table.add_row(
            "the simulator took",
            f"{wall:.3f} s, {wall / report.seconds:,.0f} times as long as the NPU",
        )
    rich.print(table)
