"""The program of a core whose operands lie in image tiles: an endless loop over runs.

    for each "go" of the host:
        for each of the run's tiles of C:
            sums = 0
            for each k step:
                for each part of A's rows:
                    sums of the part += A part * B tile
            C tile = sums, in C's type
        for each slice that the run passes over: take its tiles and leave them

One word of parameters holds all that changes from run to run. The last loop brings the
ring of a resident operand back to its first slot, where the next run begins.
"""

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerAttr, i32
from xdsl.ir import Block, Region, SSAValue

from xdna.dialect.aie import EndOp
from xdna.gemm.array import GemmArray
from xdna.gemm.parameters import FIELDS
from xdna.gemm.programs.core_ops import (
    FOREVER,
    Values,
    acquire,
    as_index,
    by_half,
    call,
    first_half,
    index,
    loop,
    other,
    parameter,
    release,
)
from xdna.gemm.programs.core_results import sums_as_c

Halves = list[SSAValue]  # whether the next A, B and C is the first of its two buffers


def tiled_core_program(array: GemmArray, buffers: Values, locks: Values) -> Region:
    """The body of an `aie.core`, for its tile's buffers and locks by name."""
    region = Region(Block())
    with ImplicitBuilder(region.block):
        core = _TiledCore(array, buffers, locks)
        first = first_half()
        loop(index(FOREVER), [first, first, first], core.run)
        EndOp()
    return region


class _TiledCore:
    def __init__(self, array: GemmArray, buffers: Values, locks: Values):
        self.array, self.buffers, self.locks = array, buffers, locks

    def run(self, halves: Halves) -> Halves:
        acquire(self.locks["go"])
        word = parameter(self.buffers, 0)
        fields = {name: _field(word, name) for name in FIELDS}
        orders = fields["orders"]
        k_steps = as_index(fields["k_steps"])
        halves = loop(
            as_index(fields["num_tiles"]),
            halves,
            lambda h: self._tile(k_steps, orders, h),
        )
        if not self.array.resident:
            return halves
        return loop(as_index(fields["passed_over"]), halves, self._pass_over)

    def _tile(self, k_steps: SSAValue, orders: SSAValue, halves: Halves) -> Halves:
        a, b, c_half = halves

        def sum_products(c: SSAValue) -> list[SSAValue]:
            call("zero_f32", c)
            return loop(k_steps, [a, b], lambda h: self._step(c, orders, *h))

        a, b = sums_as_c(self.array, self.buffers, self.locks, c_half, sum_products)
        return [a, b, other(c_half)]

    def _step(
        self, c: SSAValue, orders: SSAValue, a_half: SSAValue, b_half: SSAValue
    ) -> list[SSAValue]:
        """One k step; returns the next halves of A and B."""
        acquire(self.locks["b_full"])

        def multiply(b: int) -> list[SSAValue]:
            for part in range(self.array.parts):
                acquire(self.locks["a_full"])
                if self.array.parts == 1:
                    by_half(a_half, lambda a: self._multiply(a, b, c, 0, orders))
                else:  # an even number: each step begins with the first buffer
                    self._multiply(part % 2, b, c, part, orders)
                release(self.locks["a_free"])
            return []

        by_half(b_half, multiply)
        release(self.locks["b_free"])
        return [self._next_a(a_half), other(b_half)]

    def _multiply(
        self, a: int, b: int, c: SSAValue, part: int, orders: SSAValue
    ) -> list[SSAValue]:
        operands = self.buffers[f"a_{a}"], self.buffers[f"b_{b}"], c
        call("matmul_tiles_bf16_f32", *operands, _int(part), orders)
        return []

    def _next_a(self, a_half: SSAValue) -> SSAValue:
        return other(a_half) if self.array.parts == 1 else a_half

    def _pass_over(self, halves: Halves) -> Halves:
        """Takes one slice of the resident operand and leaves it."""
        a, b, c = halves
        for _ in range(self.array.slice_k // self.array.k):
            if self.array.resident == "b":
                acquire(self.locks["b_full"])
                release(self.locks["b_free"])
                b = other(b)
                continue
            for _ in range(self.array.parts):
                acquire(self.locks["a_full"])
                release(self.locks["a_free"])
            a = self._next_a(a)
        return [a, b, c]


def _field(word: SSAValue, name: str) -> SSAValue:
    """A field of the parameter word, i32."""
    field = FIELDS[name]
    shifted = arith.ShRUIOp(word, _int(field.shift)).result
    return arith.AndIOp(shifted, _int(field.largest)).result


def _int(value: int) -> SSAValue:
    return arith.ConstantOp(IntegerAttr(value, i32)).result
