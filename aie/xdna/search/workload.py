"""The GEMMs that a program needs, and how often: what a design is chosen for."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xdna.gemm.tiling import Gemm

COLUMNS = ("name", "M", "K", "N", "calls_per_step")


@dataclass(frozen=True)
class Product:
    """A GEMM, and how often a step of the program computes it."""

    name: str
    gemm: Gemm
    calls: int


def read_workload(path: Path) -> tuple[Product, ...]:
    """The rows of a CSV file with the columns name, M, K, N and calls_per_step.

    Columns `a_order` and `b_order`, if there are any, say how A and B lie.

    Raises:
      ValueError: in one line, with the number of the first wrong one.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(line for line in file if line[0] != "#"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"workload {path} cannot be read: {error}") from None
    products = []
    for number, row in enumerate(rows, 1):
        try:
            m, k, n, calls = (int(row[column]) for column in COLUMNS[1:])
            orders = row.get("a_order") or "mk", row.get("b_order") or "kn"
            if min(m, k, n, calls) < 1:
                raise ValueError("sizes and calls must be at least 1")
            products.append(Product(row["name"], Gemm(1, m, k, n, *orders), calls))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"workload {path}, row {number}: expected the columns "
                f"{', '.join(COLUMNS)}, sizes as integers: {error}"
            ) from None
    if not products:
        raise ValueError(f"workload {path} has no rows")
    return tuple(products)


def gpt2_workload(
    tokens: int, width: int = 768, num_layers: int = 12, vocabulary: int = 50304
) -> tuple[Product, ...]:
    """The products with weights of a training step of GPT-2; by default of the 124M.

    The vocabulary is padded as llm.c does. Attention's own products are left out.
    """
    shapes: Mapping[str, tuple[int, int, int]] = {
        "qkv": (width, 3 * width, num_layers),
        "attention projection": (width, width, num_layers),
        "fc": (width, 4 * width, num_layers),
        "fc projection": (4 * width, width, num_layers),
        "head": (width, vocabulary, 1),
    }
    products = []
    for name, (inner, outer, calls) in shapes.items():
        for way, gemm in (
            ("forward", Gemm(1, tokens, inner, outer, "mk", "kn")),
            ("dX", Gemm(1, tokens, outer, inner, "mk", "nk")),
            ("dW", Gemm(1, inner, tokens, outer, "km", "kn")),
        ):
            products.append(Product(f"{way} {name}", gemm, calls))
    return tuple(products)
