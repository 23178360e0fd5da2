"""A product as placement sees it: sizes, how its operands lie, and their types."""

from dataclasses import dataclass
from typing import NamedTuple

NPU, HOST = "npu", "host"  # the sides of a machine
OBJECTIVES = ("time", "energy")  # of a placement


class Sizes(NamedTuple):
    """What a placement goes by: products of one size run on one side."""

    batch: int
    m: int
    k: int
    n: int

    def __str__(self) -> str:
        return " x ".join(f"{size:,}" for size in self[self.batch == 1 :])


@dataclass(frozen=True)
class Product:
    """`batch` products (m, k) x (k, n).

    Args:
      a_order, b_order: how the operands lie, outermost dimension first.
      a_bytes, b_bytes, out_bytes: of an element of each in the program, 4 or 2.
      passes: bf16 products that are summed, see `jax_npu.precision`.
    """

    batch: int
    m: int
    k: int
    n: int
    a_order: str = "mk"
    b_order: str = "kn"
    a_bytes: int = 4
    b_bytes: int = 4
    out_bytes: int = 4
    passes: int = 1

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.batch, self.m, self.k, self.n)

    @property
    def flops(self) -> int:
        """Those of all passes."""
        return 2 * self.passes * self.batch * self.m * self.k * self.n

    @property
    def a_source_bytes(self) -> int:
        """Bytes of A in the program."""
        return self.batch * self.m * self.k * self.a_bytes

    @property
    def b_source_bytes(self) -> int:
        return self.batch * self.k * self.n * self.b_bytes

    @property
    def result_bytes(self) -> int:
        return self.batch * self.m * self.n * self.out_bytes

    @property
    def num_bytes(self) -> int:
        """Bytes of the operands and the result, each once."""
        return self.a_source_bytes + self.b_source_bytes + self.result_bytes
