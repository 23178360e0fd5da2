"""How a core's sums become C: in its buffer from the start, or converted at the end."""

from collections.abc import Callable

from xdsl.ir import SSAValue

from xdna.gemm.array import GemmArray
from xdna.gemm.programs.core_ops import Values, acquire, by_half, call, release

Branch = Callable[[SSAValue], list[SSAValue]]


def sums_as_c(
    array: GemmArray,
    buffers: Values,
    locks: Values,
    c_half: SSAValue,
    sum_products: Branch,
) -> list[SSAValue]:
    """Runs `sum_products` on the buffer for sums, and hands over C.

    Args:
      c_half: whether the next C is the first of its two buffers.

    Returns:
      what `sum_products` returned.
    """

    def convert(c: SSAValue) -> list[SSAValue]:
        call("convert_f32_bf16", buffers["accumulator"], c)
        return []

    def into_c(branch: Branch) -> list[SSAValue]:
        """Runs the branch on the next C buffer, once that is free."""
        acquire(locks["c_free"])
        if array.num_c_buffers == 1:
            results = branch(buffers["c_0"])
        else:
            results = by_half(c_half, lambda i: branch(buffers[f"c_{i}"]))
        release(locks["c_full"])
        return results

    if array.out == array.sums:  # the sums are C
        return into_c(sum_products)
    results = sum_products(buffers["accumulator"])
    into_c(convert)
    return results
