"""Flags that several commands share: the array's, and the sizes of a GEMM."""

import argparse

from xdna.devices import DEVICES
from xdna.gemm.array import ELEMENT_BYTES, TILE, GemmArray
from xdna.gemm.tiling import Plan, make_plan


def add_array_flags(
    parser: argparse.ArgumentParser, device: str | None = "npu1"
) -> None:
    """`--device` and others; with None as its default, a machine may choose it."""
    default = device or "the machine's, or npu1"
    parser.add_argument(
        "--device",
        default=device,
        help=f"one of {', '.join(DEVICES)} (default: {default})",
    )
    add_tile_flag(parser, default=TILE)
    parser.add_argument(
        "--c-type",
        choices=list(ELEMENT_BYTES),
        default="float32",
        help="type of the result in DDR (default: float32)",
    )
    parser.add_argument(
        "--b-column-major", action="store_true", help="B is stored as (n, k)"
    )


def add_tile_flag(
    parser: argparse.ArgumentParser, default: tuple[int, int, int] | None
) -> None:
    """`--tile`; with None as the default, a command sees whether it was given."""
    parser.add_argument(
        "--tile",
        type=int,
        nargs=3,
        metavar=("M", "K", "N"),
        default=default,
        help=f"tile of one core (default: {' '.join(map(str, TILE))}, as in backends)",
    )


def add_size_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-b", "--batch", type=int, default=1)
    for size in "mkn":
        parser.add_argument(f"-{size}", type=int, required=True)
    parser.add_argument(
        "--a-order", default="mk", help="order of A in memory: mk or km (default: mk)"
    )
    parser.add_argument(
        "--b-order", default="kn", help="order of B in memory: kn or nk (default: kn)"
    )


def array_of(arguments: argparse.Namespace) -> GemmArray:
    m, k, n = arguments.tile
    return GemmArray(
        arguments.device, m, k, n, arguments.c_type, arguments.b_column_major
    )


def plan_of(arguments: argparse.Namespace) -> Plan:
    a = arguments
    return make_plan(array_of(a), a.batch, a.m, a.k, a.n, a.a_order, a.b_order)
