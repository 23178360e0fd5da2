"""Flags that several commands share: the array's, and the sizes of a GEMM."""

import argparse

from xdna.devices import DEVICES
from xdna.gemm.array import (
    ELEMENT_BYTES,
    IMAGES,
    MAX_RESIDENT_SLOTS,
    TILE,
    GemmArray,
    default_array,
)
from xdna.gemm.tiling import Plan, make_plan

FlagGroup = argparse._ArgumentGroup  # of a parser's --help

# What `add_image_flags` adds: fields of `GemmArray`.
IMAGE_FLAGS = (
    "images",
    "parts",
    "c_buffers",
    "k_slice",
    "resident",
    "resident_slots",
)


def add_array_flags(
    parser: argparse.ArgumentParser, device: str | None = "npu1"
) -> None:
    """`--device` and others; with None as its default, a machine may choose it."""
    default = device or "the machine's, or npu1"
    array = parser.add_argument_group("the array's design")
    array.add_argument(
        "--device",
        metavar="NAME",
        default=device,
        help=f"one of {', '.join(DEVICES)} (default: {default})",
    )
    add_tile_flag(array)
    array.add_argument(
        "--c-type",
        choices=list(ELEMENT_BYTES),
        default="float32",
        help="type of the result in DDR (default: float32)",
    )
    array.add_argument(
        "--b-column-major", action="store_true", help="B is stored as (n, k)"
    )
    add_image_flags(array)


def add_image_flags(parser: FlagGroup) -> None:
    """Flags for how operands lie in DDR, in memtiles and in cores."""
    parser.add_argument(
        "--images",
        choices=IMAGES,
        help="how operands lie in DDR (default: rows, where a design is described)",
    )
    parser.add_argument(
        "--parts",
        type=int,
        metavar="N",
        help="parts of a tile's rows of A, with --images tiles (default: 1)",
    )
    parser.add_argument(
        "--c-buffers",
        type=int,
        metavar="N",
        help="buffers of C in a core, 1 or 2 (default: 2 if they fit)",
    )
    parser.add_argument(
        "--k-slice",
        type=int,
        metavar="K",
        help="k that a memtile takes at once (default: the tile's)",
    )
    parser.add_argument(
        "--resident",
        choices=("a", "b"),
        help="operand that can stay in the memtiles, with --images tiles",
    )
    parser.add_argument(
        "--resident-slots",
        type=int,
        metavar="N",
        help=f"its slices in a memtile (default: {MAX_RESIDENT_SLOTS})",
    )


def add_tile_flag(parser: FlagGroup) -> None:
    parser.add_argument(
        "--tile",
        type=int,
        nargs=3,
        metavar=("M", "K", "N"),
        help="tile of one core; with this or another flag of a design, the rest is "
        f"{' '.join(map(str, TILE))} in rows (default: the design of the backends)",
    )


def add_size_flags(parser: argparse.ArgumentParser) -> None:
    product = parser.add_argument_group("the product")
    product.add_argument(
        "-b",
        "--batch",
        type=int,
        metavar="N",
        default=1,
        help="products of these sizes (default: 1)",
    )
    for size, of in ("m", "rows of A"), ("k", "columns of A"), ("n", "columns of B"):
        product.add_argument(
            f"-{size}", type=int, metavar=size.upper(), required=True, help=of
        )
    product.add_argument(
        "--a-order",
        metavar="MK",
        default="mk",
        help="order of A in memory: mk or km (default: mk)",
    )
    product.add_argument(
        "--b-order",
        metavar="KN",
        default="kn",
        help="order of B in memory: kn or nk (default: kn)",
    )


def array_of(arguments: argparse.Namespace) -> GemmArray:
    """The design that the flags describe, or the one of the backends."""
    values = {name: getattr(arguments, name) for name in IMAGE_FLAGS}
    given = {name: value for name, value in values.items() if value is not None}
    out = arguments.c_type or "float32"
    if not given and arguments.tile is None and not arguments.b_column_major:
        return default_array(arguments.device, out)
    m, k, n = arguments.tile or TILE
    return GemmArray(arguments.device, m, k, n, out, arguments.b_column_major, **given)


def plan_of(arguments: argparse.Namespace) -> Plan:
    a = arguments
    return make_plan(array_of(a), a.batch, a.m, a.k, a.n, a.a_order, a.b_order)
