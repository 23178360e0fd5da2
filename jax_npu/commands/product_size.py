"""Products that no machine computes, refused before anything is made for them."""

import argparse

from jax_npu.runtime.machine import ROOT, field_of
from xdna.gemm.array import ELEMENT_BYTES
from xdna.simulator.bounds import bytes_text

# The largest machines with such a chip have 128 GB, of which a program gets about half.
MAX_PRODUCT_BYTES = 64 * 10**9
BF16_BYTES = 2
# What `simulate --gemm` holds for an element: of A and B in float32, in bfloat16, and
# as padded images; of C its images and the result.
OPERAND_BYTES, RESULT_BYTES = 4 + 2 + 2, 4 + 4


def require_product_size(arguments: argparse.Namespace) -> None:
    """Checks that A, B and C fit into the memory of some machine.

    Raises:
      ValueError: with what they take.
    """
    a, out = arguments, ELEMENT_BYTES[arguments.c_type]
    sizes = a.m * a.k * BF16_BYTES, a.k * a.n * BF16_BYTES, a.m * a.n * out
    if (total := a.batch * sum(sizes)) > MAX_PRODUCT_BYTES:
        raise ValueError(
            f"A, B and C of ({a.m}, {a.k}) x ({a.k}, {a.n}) take {bytes_text(total)}, "
            f"at most {bytes_text(MAX_PRODUCT_BYTES)} fit into a machine with an NPU; "
            "divide m, n or k"
        )


def require_memory_to_simulate(batch: int, m: int, k: int, n: int) -> None:
    """Checks that this machine has the memory for a product's operands and result.

    Raises:
      ValueError: with what is needed and what there is.
    """
    needed = batch * ((m * k + k * n) * OPERAND_BYTES + m * n * RESULT_BYTES)
    found = (field_of(ROOT / "proc/meminfo", "MemAvailable") or "").split()
    if found and found[0].isdecimal() and needed > (free := 1024 * int(found[0])):
        raise ValueError(
            f"simulating ({m}, {k}) x ({k}, {n}) takes {bytes_text(needed)} of memory, "
            f"{bytes_text(free)} are free here; simulate a smaller product, or see its "
            "time with 'jax-npu plan'"
        )
