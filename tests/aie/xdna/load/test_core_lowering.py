# ruff: noqa: E501  one case a line
"""Cores' programs as flat instructions, executed and compared with their meaning."""

import itertools
import re

import numpy as np
import pytest

from xdna.dialect.aie import CoreOp
from xdna.dialect.text import parse_module
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.load.configuration import configuration

from .core_machine import DESIGN, Machine, core_text, shown


class OutOfWorkError(Exception):
    """The core waits for a "go" that does not come."""


class GemmCore(Machine):
    """A core that gets the parameters of one run for each "go"."""

    def __init__(self, text, parameters):
        super().__init__(text)
        self.parameters = iter(parameters)

    def use_lock(self, verb, lock, value):
        assert value == 1
        if lock != "go_0_0":
            verb = {"acquire": "take", "release": "give"}[verb]
            self.trace.append((verb, lock))
            return
        words = next(self.parameters, None)
        if words is None:
            raise OutOfWorkError
        self.memory["parameters_0_0"][:] = np.array(words, "<i4").tobytes()


def gemm_trace(array, runs):
    """The sequence that the DMA programs and the memtiles are written for."""
    ab_halves, c_halves = itertools.cycle("01"), itertools.cycle("01")
    num_tiles = sum(tiles for tiles, _ in runs)
    k_steps = [k for tiles, k in runs for _ in range(tiles)]
    for _, steps in zip(range(num_tiles), k_steps, strict=True):
        c = f"c_{next(c_halves) if array.num_c_buffers == 2 else 0}"
        claim = [("take", "c_free")]
        in_place = array.out == "float32"
        sums = c if in_place else "accumulator"
        yield from claim if in_place else []
        yield "zero_f32", sums
        for half in itertools.islice(ab_halves, steps):
            yield from (("take", "a_full"), ("take", "b_full"))
            yield "matmul_bf16_f32", f"a_{half}", f"b_{half}", sums
            yield from (("give", "a_free"), ("give", "b_free"))
        yield from [] if in_place else [*claim, ("convert_f32_bf16", sums, c)]
        yield "give", "c_full"


@pytest.mark.parametrize("n", [64, 32])
@pytest.mark.parametrize("out", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_a_gemm_core_does_what_its_program_says(device, out, n):
    array = GemmArray(device, 64, 64, n, out=out)
    runs = [(3, 3), (1, 1), (2, 5), (1, 2)]
    core = GemmCore(configuration(gemm_design(array)), runs)
    with pytest.raises(OutOfWorkError):
        core.run()
    trace = [
        tuple(re.sub("^core_0_0_|_0_0$", "", word) for word in event)
        for event in core.trace
    ]
    assert trace == list(gemm_trace(array, runs))


@pytest.mark.parametrize("form", ["scf", "cf"])
def test_a_loop_may_swap_what_it_carries(form):
    constants = "%a = arith.constant 3 : i32\n%b = arith.constant -5 : i32\n"
    show = "func.call @show(%r#0) : (i32) -> ()\nfunc.call @show(%r#1) : (i32) -> ()"
    loop = {
        "scf": """
            %c3 = arith.constant 3 : index
            %r:2 = scf.for %i = %c0 to %c3 step %c1 iter_args(%x = %a, %y = %b)
                -> (i32, i32) {
              scf.yield %y, %x : i32, i32
            }
            """
        + show,
        "cf": """
            %c3 = arith.constant 3 : index
            cf.br ^loop(%c0, %a, %b : index, i32, i32)
          ^loop(%i : index, %x : i32, %y : i32):
            %go = arith.cmpi slt, %i, %c3 : index
            %j = arith.addi %i, %c1 : index
            cf.cond_br %go, ^loop(%j, %y, %x : index, i32, i32), ^done(%y, %x : i32, i32)
          ^done(%p : i32, %q : i32):
            func.call @show(%q) : (i32) -> ()
            func.call @show(%p) : (i32) -> ()
            """,
    }[form]
    assert shown(constants + loop) == [-5, 3]


@pytest.mark.parametrize("seed", range(20))
def test_block_arguments_are_passed_at_once(seed):
    """A loop carries any map of its values: cycles, chains and copies."""
    rng = np.random.default_rng(seed)
    count, rounds = int(rng.integers(2, 9)), int(rng.integers(1, 6))
    sources = rng.integers(count, size=count) if seed % 2 else rng.permutation(count)
    starts = rng.integers(-100, 100, size=count)
    lines = [f"%s{i} = arith.constant {value} : i32" for i, value in enumerate(starts)]
    carried = ", ".join(f"%x{i} = %s{i}" for i in range(count))
    types = ", ".join(["i32"] * count)
    lines += [
        f"%rounds = arith.constant {rounds} : index",
        f"%r:{count} = scf.for %i = %c0 to %rounds step %c1 iter_args({carried})",
        f"  -> ({types}) {{",
        f"scf.yield {', '.join(f'%x{i}' for i in sources)} : {types}",
        "}",
        *(f"func.call @show(%r#{i}) : (i32) -> ()" for i in range(count)),
    ]
    values = starts
    for _ in range(rounds):
        values = values[sources]
    assert shown("\n".join(lines)) == values.tolist()


def test_both_ways_of_a_branch_may_lead_to_one_block():
    body = """
        %a = arith.constant 1 : i32
        %b = arith.constant 2 : i32
        %yes = arith.constant true
        cf.cond_br %yes, ^next(%a, %b : i32, i32), ^next(%b, %a : i32, i32)
      ^next(%x : i32, %y : i32):
        func.call @show(%x) : (i32) -> ()
        func.call @show(%y) : (i32) -> ()
        """
    assert shown(body) == [1, 2]
    assert shown(body.replace("constant true", "constant false")) == [2, 1]


def test_an_index_reaches_its_element():
    body = """
        %c3 = arith.constant 3 : index
        %c7 = arith.constant 7 : index
        %x = memref.load %m16[%c1, %c3, %c7] : memref<2x4x8xi16>
        memref.store %x, %m16[%c0, %c2, %c1] : memref<2x4x8xi16>
        """
    machine = Machine(core_text(body))
    data = np.frombuffer(machine.memory["m16"], "<i2").reshape(2, 4, 8)
    data[:] = np.random.default_rng(0).integers(-(2**15), 2**15, data.shape)
    wanted = data.copy()
    wanted[0, 2, 1] = wanted[1, 3, 7]
    machine.run()
    np.testing.assert_array_equal(data, wanted)


def test_locks_and_calls_keep_their_order_and_arguments():
    body = """
        aie.use_lock(%lock, AcquireGreaterEqual, 2)
        func.call @mix(%m32, %c2, %m16) : (memref<8xi32>, index, memref<2x4x8xi16>) -> ()
        aie.use_lock(%lock, Release)
        """
    text = core_text(body)
    assert Machine(text).run().trace == [
        ("acquire", "lock", 2),
        ("mix", "m32", 2, "m16"),
        ("release", "lock", 1),
    ]
    lines = text.splitlines()
    assert [line for line in lines if line.startswith(("type", "kernel"))] == [
        "type i32 1 8",
        "type i16 3 2 4 8",
        "kernel mix 3 0 -1 1",
    ]


def test_a_constant_outside_the_core_is_known_inside():
    module = parse_module(core_module("func.call @show(%one) : (i32) -> ()"))
    core = next(op for op in module.walk() if isinstance(op, CoreOp))
    constant = next(
        op for op in core.walk() if op.results and op.results[0].name_hint == "one"
    )
    constant.detach()
    core.parent.insert_op_before(constant, core)
    assert Machine(configuration(module)).run().trace == [("show", 1)]


def core_module(body):
    one = "%one = arith.constant 1 : i32\n"
    return DESIGN.replace("BODY", one + body + "\naie.end")


SHOW = "func.call @show"
# fmt: off
UNSUPPORTED = {
    "floats_of_no_core": ("%x = arith.constant 1.0 : f16\n%y = arith.addf %x, %x : f16", ["arith.addf", "bf16, f32, f64, got f16"]),
    "what_is_taken_from_tables": ("%x = arith.constant 1.0 : f32\n%y = math.exp %x : f32", ["math.exp", "not supported"]),
    "regions_that_run_once": ("scf.execute_region {\nscf.yield\n}", ["scf.execute_region", "not supported"]),
    "odd_integers_in_memory": ("%x = memref.load %bits[%c0] : memref<8xi24>", ["memref.load", "memref<8xi24>"]),
    "wide_integers": ("%x = arith.constant 1 : i65\n%y = arith.addi %x, %x : i65", ["arith.addi", "1 to 64 bits", "i65"]),
    "locks_in_kernels": ("func.call @mix(%m32, %lock, %m16) : (memref<8xi32>, index, memref<2x4x8xi16>) -> ()", ["func.call", "lock"]),
    "locks_as_numbers": ("%x = arith.addi %lock, %c1 : index", ["arith.addi", "a number, got aie.lock"]),
    "functions_within_themselves": ("func.call @recursive() : () -> ()", ["func.call", "recursive within itself"]),
    "memrefs_of_the_core": ("%x = memref.alloc() : memref<8xi32>\n%y = memref.load %x[%c0] : memref<8xi32>", ["memref.alloc"]),
    "results_of_a_call": ("%x = func.call @make(%one) : (i32) -> i32", ["func.call", "make", "results"]),
    "floats_as_arguments": ("%x = arith.constant 1.0 : f32\nfunc.call @scale(%x) : (f32) -> ()", ["func.call", "scale", "f32"]),
}
# fmt: on


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_operation_is_named_with_its_tile(name):
    body, words = UNSUPPORTED[name]
    with pytest.raises(ValueError, match=r"^core of tile \(0, 2\): ") as error:
        configuration(parse_module(core_module(body)))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_program_without_end_is_refused():
    module = parse_module(
        "aie.device(npu1_1col) {\n%t = aie.tile(0, 2)\n%c = aie.core(%t) {\n}\n}"
    )
    with pytest.raises(ValueError, match=r"tile \(0, 2\): core: needs an aie.end"):
        configuration(module)
