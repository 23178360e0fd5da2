"""The core's program, executed: its waits, calls and releases, in order."""

import itertools

import pytest
from xdsl.dialects import arith, func, memref, scf

from xdna.dialect.aie import CoreOp, EndOp, UseLockOp
from xdna.gemm.array import GemmArray, default_array
from xdna.gemm.design import gemm_design
from xdna.gemm.parameters import CoreParameters


class OutOfWorkError(Exception):
    """The core waits for a "go" that does not come."""


class Core:
    """An interpreter of one core's program that records locks and kernel calls."""

    def __init__(self, parameters):
        self.parameters = iter(parameters)  # the words of each run
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
            case arith.CmpiOp():
                assert op.predicate.value.data == 0  # eq
                return [int(operands[0] == operands[1])]
            case arith.SubiOp():
                return [operands[0] - operands[1]]
            case arith.AndIOp():
                return [operands[0] & operands[1]]
            case arith.OrIOp():
                return [operands[0] | operands[1]]
            case arith.SelectOp():
                return [operands[1] if operands[0] & 1 else operands[2]]
            case arith.ShRUIOp():
                return [operands[0] >> operands[1]]
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
                return self.execute(taken.block) if taken.blocks else []
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
        words = next(self.parameters, None)
        if words is None:
            raise OutOfWorkError
        self.current = list(words)


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


def expected_in_tiles(array, runs):
    """The same for operands in tiles, in parts; `runs` are `CoreParameters`."""
    b_halves, c_halves = itertools.cycle("01"), itertools.cycle((0, 1))
    a_halves = itertools.cycle("012"[: array.num_a_buffers])
    in_place = array.out == "float32"
    for run in runs:
        for _ in range(run.num_tiles):
            first_c = array.parts * (next(c_halves) if array.num_c_buffers == 2 else 0)
            for step in range(run.k_steps):
                b = f"b_{next(b_halves)}"
                yield "take", "b_full"
                for part in range(array.parts):
                    c = f"c_{first_c + part}"
                    sums = c if in_place else array.accumulator(part)
                    yield "take", "a_full"
                    if step == 0 and in_place:
                        yield "take", "c_free"
                    flags = run.orders + (4 if step == 0 else 0)
                    operands = f"a_{next(a_halves)}", b, sums, flags
                    yield "matmul_tiles_bf16_f32", *operands
                    yield "give", "a_free"
                    if step == run.k_steps - 1:
                        if not in_place:
                            yield "take", "c_free"
                            yield "convert_f32_bf16", sums, c
                        yield "give", "c_full"
                yield "give", "b_free"
        for _ in range(run.passed_over):
            for operand in array.resident * (array.slice_k // array.k):
                for _ in range(array.parts if operand == "a" else 1):
                    next({"a": a_halves, "b": b_halves}[operand])
                    yield "take", f"{operand}_full"
                    yield "give", f"{operand}_free"


@pytest.mark.parametrize(
    "array",
    [
        default_array("npu1"),
        GemmArray("npu1", 64, 64, 64, images="tiles", parts=2, resident="a"),
        GemmArray("npu1", 64, 64, 64, images="tiles", c_buffers=1, resident="a"),
        GemmArray("npu1", 48, 64, 64, images="tiles", parts=3, resident="a"),
        GemmArray("npu1", 112, 32, 32, images="tiles", parts=7),
        GemmArray("npu1", 64, 64, 64, "bfloat16", images="tiles", parts=4),
        GemmArray("npu2", 64, 32, 96, images="tiles", k_slice=64, resident="b"),
    ],
    ids=str,
)
def test_parts_of_c_leave_after_their_last_k_step(array):
    runs = [
        CoreParameters(3, 3, 5, 2),
        CoreParameters(1, 1),
        CoreParameters(2, 5, 1, 1),
        CoreParameters(1, 2, 0, 3),
    ]
    program = next(op for op in gemm_design(array).walk() if isinstance(op, CoreOp))
    core = Core([one.words(array).values() for one in runs])
    with pytest.raises(OutOfWorkError):
        core.execute(program.body.block)
    assert core.trace == list(expected_in_tiles(array, runs))
