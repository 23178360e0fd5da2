"""The core's program, executed: its waits, calls and releases, in order."""

import itertools

import pytest
from xdsl.dialects import arith, func, memref, scf

from xdna.dialect.aie import CoreOp, EndOp, UseLockOp
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design


class OutOfWorkError(Exception):
    """The core waits for a "go" that does not come."""


class Core:
    """An interpreter of one core's program that records locks and kernel calls."""

    def __init__(self, parameters):
        self.parameters = iter(parameters)  # (tiles, k steps) of each run
        self.trace = []
        self.values = {}

    def execute(self, block, arguments=()):
        """The operands of the block's yield."""
        self.values.update(zip(block.args, arguments))
        for op in block.ops:
            if isinstance(op, scf.YieldOp):
                return [self.values[value] for value in op.operands]
            results = self.step(op)
            self.values.update(zip(op.results, results))
        return []

    def step(self, op):
        operands = [self.values.get(value, name(value)) for value in op.operands]
        match op:
            case arith.ConstantOp():
                return [op.value.value.data]
            case arith.IndexCastOp():
                return operands
            case arith.XOrIOp():
                return [(operands[0] ^ operands[1]) & 1]
            case memref.LoadOp():
                return [self.current[operands[1]]]
            case scf.ForOp():
                carried = operands[3:]
                for i in range(*operands[:3]):
                    carried = self.execute(op.body.block, [i, *carried])
                return carried
            case scf.IfOp():
                taken = op.true_region if operands[0] & 1 else op.false_region
                return self.execute(taken.block)
            case func.CallOp():
                self.trace.append((op.callee.root_reference.data, *operands))
            case UseLockOp():
                self.use_lock(op.action_name, operands[0])
            case EndOp():
                pass
            case _:
                raise NotImplementedError(op.name)
        return []

    def use_lock(self, action, lock):
        if lock != "go":
            verb = {"AcquireGreaterEqual": "take", "Release": "give"}[action]
            self.trace.append((verb, lock))
            return
        assert action == "AcquireGreaterEqual"
        self.current = next(self.parameters, None)
        if self.current is None:
            raise OutOfWorkError


def name(value):
    """The name of a buffer or lock without its tile's."""
    symbol = getattr(value.owner, "sym_name", None)
    if symbol is None:
        return None
    return symbol.data.removeprefix("core_0_0_").removesuffix("_0_0")


def expected(array, runs):
    """The sequence that the DMA programs and the memtiles are written for."""
    ab_halves, c_halves = itertools.cycle("01"), itertools.cycle("01")
    for num_tiles, k_steps in runs:
        for _ in range(num_tiles):
            c = f"c_{next(c_halves) if array.num_c_buffers == 2 else 0}"
            f32 = array.out == "float32"
            sums = c if f32 else "accumulator"
            if f32:
                yield "take", "c_free"
            yield "zero_f32", sums
            for _ in range(k_steps):
                half = next(ab_halves)
                yield "take", "a_full"
                yield "take", "b_full"
                yield "matmul_bf16_f32", f"a_{half}", f"b_{half}", sums
                yield "give", "a_free"
                yield "give", "b_free"
            if not f32:
                yield "take", "c_free"
                yield "convert_f32_bf16", sums, c
            yield "give", "c_full"


@pytest.mark.parametrize(
    "array",
    [
        GemmArray("npu1", 64, 64, 64),
        GemmArray("npu1", 64, 64, 32),
        GemmArray("npu1", 64, 64, 64, out="bfloat16"),
        GemmArray("npu1", 64, 64, 32, out="bfloat16"),
    ],
    ids=str,
)
def test_every_run_goes_on_where_the_last_one_left_the_buffers(array):
    runs = [(3, 3), (1, 1), (2, 5), (1, 2)]
    program = next(op for op in gemm_design(array).walk() if isinstance(op, CoreOp))
    core = Core(runs)
    with pytest.raises(OutOfWorkError):
        core.execute(program.body.block)
    assert core.trace == list(expected(array, runs))
