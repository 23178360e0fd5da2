"""The program of a core whose operands lie in image tiles: an endless loop over runs.

    for each "go" of the host:
        for each of the run's tiles of C:
            for each k step:
                for each part of A's rows:
                    sums of the part = (first step) or += A part * B tile
                    after the last step: C part = sums, in C's type, which leaves
        for each slice that the run passes over: take its tiles and leave them

One word of parameters holds all that changes from run to run. The last loop brings the
ring of a resident operand back to its first slot, where the next run begins.
"""

from typing import NamedTuple

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
    counted_loop,
    equal,
    first_half,
    index,
    loop,
    only_if,
    other,
    parameter,
    release,
)
from xdna.gemm.programs.kernel_calls import BEGINS_C, MATMUL_TILES

Halves = list[SSAValue]  # whether the next A, B and C is the first of its two buffers


class _KStep(NamedTuple):
    """A k step of a tile of C."""

    is_first: SSAValue
    is_last: SSAValue
    flags: SSAValue  # of the kernel


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
        flags = fields["orders"]  # without `BEGINS_C`
        k_steps = as_index(fields["k_steps"])
        halves = loop(
            as_index(fields["num_tiles"]),
            halves,
            lambda h: self._tile(k_steps, flags, h),
        )
        if not self.array.resident:
            return halves
        return loop(as_index(fields["passed_over"]), halves, self._pass_over)

    def _tile(self, k_steps: SSAValue, flags: SSAValue, halves: Halves) -> Halves:
        a, b, c_half = halves
        last = arith.SubiOp(k_steps, index(1)).result
        flags_of_first = arith.OrIOp(flags, _int(BEGINS_C)).result

        def step(number: SSAValue, ab: list[SSAValue]) -> list[SSAValue]:
            is_first = equal(number, index(0))
            own_flags = arith.SelectOp(is_first, flags_of_first, flags).result
            one = _KStep(is_first, equal(number, last), own_flags)
            a_half, b_half = ab
            return self._step(one, a_half, b_half, c_half)

        a, b = counted_loop(k_steps, [a, b], step)
        return [a, b, other(c_half)]

    def _step(
        self,
        step: _KStep,
        a_half: SSAValue,
        b_half: SSAValue,
        c_half: SSAValue,
    ) -> list[SSAValue]:
        """One k step; returns the next halves of A and B."""
        acquire(self.locks["b_full"])

        def multiply(a: int, b: int, c: int) -> list[SSAValue]:
            for part in range(self.array.parts):
                self._part(step, (a + part) % self.array.num_a_buffers, b, c, part)
            return []

        def with_b(b: int, c: int) -> list[SSAValue]:
            if self._keeps_a_half:
                return multiply(0, b, c)
            return by_half(a_half, lambda a: multiply(a, b, c))

        def with_c(c: int) -> list[SSAValue]:
            return by_half(b_half, lambda b: with_b(b, c))

        if self.array.num_c_buffers == 1:
            with_c(0)
        else:
            by_half(c_half, with_c)
        release(self.locks["b_free"])
        return [self._next_a(a_half), other(b_half)]

    def _part(self, step: _KStep, a: int, b: int, c: int, part: int) -> None:
        """A part's products; its buffer of C is taken and handed over in time."""
        c_buffer = self.buffers[f"c_{c * self.array.parts + part}"]
        sums_are_c = self.array.out == self.array.sums
        sums = c_buffer if sums_are_c else self.buffers[self.array.accumulator(part)]
        operands = self.buffers[f"a_{a}"], self.buffers[f"b_{b}"], sums

        def hand_over() -> None:
            if not sums_are_c:
                acquire(self.locks["c_free"])
                call("convert_f32_bf16", sums, c_buffer)
            release(self.locks["c_full"])

        acquire(self.locks["a_full"])
        if sums_are_c:
            only_if(step.is_first, lambda: acquire(self.locks["c_free"]))
        call(MATMUL_TILES, *operands, step.flags)
        release(self.locks["a_free"])
        only_if(step.is_last, hand_over)

    @property
    def _keeps_a_half(self) -> bool:
        """Whether every step begins with the same buffer of A, the first."""
        return self.array.parts % self.array.num_a_buffers == 0

    def _next_a(self, a_half: SSAValue) -> SSAValue:
        return a_half if self._keeps_a_half else other(a_half)

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
