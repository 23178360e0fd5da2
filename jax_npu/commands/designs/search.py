"""`jax-npu design --search`: the design that takes least time for a workload.

The closed form rates every design that fits the device; the virtual NPU then runs the
best one and the paper's, product by product, with kernels that take time and compute
nothing.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from jax_npu.commands.designs.search_report import (
    Found,
    print_tables,
    record,
    write_roofline,
)
from jax_npu.commands.machine_flags import (
    add_compiler_flag,
    add_machine_flags,
    machine_of,
)
from xdna.arithmetics import arithmetic_of_chip
from xdna.gemm.array import GemmArray
from xdna.timing import timing

# What --search alone takes, with the values that stand for "not given".
SEARCH_FLAGS = {"workload": None, "tokens": None, "json": False, "chart": None}
GPT2_TOKENS = (256, 1024)  # 4 x 64; 4 x 256 and 1 x 1024, which are the same GEMMs


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--search",
        action="store_true",
        help="find the best design for a workload instead, and say why",
    )
    parser.add_argument(
        "--workload",
        type=Path,
        help="CSV with name, M, K, N, calls_per_step (default: GPT-2 124M)",
    )
    parser.add_argument(
        "--tokens",
        type=int,
        nargs="+",
        help="tokens of a step of GPT-2 (default: 256 1024)",
    )
    add_machine_flags(parser)
    add_compiler_flag(parser)
    parser.add_argument("--chart", type=Path, help="PNG: a roofline of both designs")
    parser.add_argument("--json", action="store_true", help="all figures as JSON")


def refuse_search_flags(arguments: argparse.Namespace) -> None:
    """
    Raises:
      ValueError: if a flag of the search was given without it.
    """
    for name, unset in SEARCH_FLAGS.items():
        if getattr(arguments, name) != unset:
            raise ValueError(f"--{name} belongs to --search; add it, or leave it out")


def print_search(arguments: argparse.Namespace) -> None:
    from xdna.search.candidates import candidates, paper_design
    from xdna.search.frontier import Candidate, frontier, search

    device = arguments.device
    machine = machine_of(arguments, device)
    times = timing(device, machine, arguments.compiler)
    arithmetic = arithmetic_of_chip(device)
    workloads = _workloads(arguments)
    arrays = candidates(device, arguments.c_type)
    ranked = search(arrays, workloads, times, arithmetic)
    paper = _candidate(ranked, paper_design(device, arguments.c_type))
    assert isinstance(paper, Candidate)
    found = Found(
        machine=machine,
        compiler=arguments.compiler,
        times=times,
        arithmetic=arithmetic,
        workloads=workloads,
        num_candidates=len(ranked),
        frontier=frontier(ranked),
        paper=paper,
    )
    if arguments.chart is not None:
        write_roofline(arguments.chart, found)
    if arguments.json:
        print(json.dumps(record(found), indent=2))
    else:
        print_tables(found)


def _workloads(arguments: argparse.Namespace) -> dict[str, Any]:
    from xdna.search.workload import gpt2_workload, read_workload

    if arguments.workload is None:
        return {
            f"{tokens} tokens": gpt2_workload(tokens)
            for tokens in arguments.tokens or GPT2_TOKENS
        }
    if arguments.tokens:
        raise ValueError("--tokens is of GPT-2; leave it out with --workload")
    return {arguments.workload.stem: read_workload(arguments.workload)}


def _candidate(ranked: list[Any], array: GemmArray) -> Any:
    for one in ranked:
        if one.array == array:
            return one
    raise ValueError("the paper's design cannot compute all products of the workload")
