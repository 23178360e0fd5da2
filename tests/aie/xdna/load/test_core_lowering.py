# ruff: noqa: E501  one case a line
"""Cores' programs as flat instructions, executed and compared with their meaning."""

import itertools
import re

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, i16
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, result_def

from xdna.dialect.aie import CoreOp
from xdna.dialect.text import parse_module
from xdna.gemm.array import GemmArray
from xdna.gemm.design import gemm_design
from xdna.load.configuration import configuration

MAX_STEPS = 100_000
DESIGN = """
aie.device(npu1_1col) {
  %tile = aie.tile(0, 2)
  func.func private @show(i32)
  func.func private @mix(memref<8xi32>, index, memref<2x4x8xi16>)
  func.func private @flag(i1, i8)
  func.func private @make(i32) -> i32
  func.func private @scale(f32)
  func.func private @any(memref<?xi32>)
  func.func @defined() { func.return }
  %m8 = aie.buffer(%tile) {address = 1024 : i32, sym_name = "m8"} : memref<64xi8>
  %m16 = aie.buffer(%tile) {address = 2048 : i32, sym_name = "m16"} : memref<2x4x8xi16>
  %m32 = aie.buffer(%tile) {address = 4096 : i32, sym_name = "m32"} : memref<8xi32>
  %m64 = aie.buffer(%tile) {address = 8192 : i32, sym_name = "m64"} : memref<8xi64>
  %f32s = aie.buffer(%tile) {address = 16384 : i32, sym_name = "f32s"} : memref<8xf32>
  %bits = aie.buffer(%tile) {address = 16448 : i32, sym_name = "bits"} : memref<8xi24>
  %lock = aie.lock(%tile, 3) {sym_name = "lock"}
  %core = aie.core(%tile) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    BODY
  }
}
"""


def core_text(body, ends=True):
    return configuration(
        parse_module(DESIGN.replace("BODY", body + "\naie.end" * ends))
    )


class OutOfWorkError(Exception):
    """The core waits for a "go" that does not come."""


def wrap(value, bits):
    value %= 2**bits
    return value - 2**bits if bits > 1 and value >> (bits - 1) else value


def as_signed(value, bits):
    return -(value & 1) if bits == 1 else value


def quotient(left, right):
    return abs(left) // abs(right) * (1 if left * right >= 0 else -1)


SIGNED = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "shrs": lambda a, b: a >> b,
    "divs": quotient,
    "rems": lambda a, b: a - quotient(a, b) * b,
    "mins": min,
    "maxs": max,
}
UNSIGNED = {
    "shru": lambda a, b: a >> b,
    "divu": lambda a, b: a // b,
    "remu": lambda a, b: a % b,
    "minu": min,
    "maxu": max,
}
COMPARE = [
    *(lambda a, b: a == b, lambda a, b: a != b),
    *2
    * (
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
    ),
]


class Machine:
    """An interpreter of one core of a configuration; it records locks and calls."""

    def __init__(self, text, number=0):
        lines = [line.split() for line in text.splitlines()]
        self.names = {
            kind: [
                line[-1 if kind != "kernel" else 1] for line in lines if line[0] == kind
            ]
            for kind in ("buffer", "lock", "kernel")
        }
        self.memory = {
            line[-1]: bytearray(int(line[4])) for line in lines if line[0] == "buffer"
        }
        cores = [i for i, line in enumerate(lines) if line[0] == "core"]
        start = cores[number]
        self.slots = [0] * int(lines[start][3])
        self.program = lines[start + 1 : start + 1 + int(lines[start][4])]
        self.trace = []

    def run(self):
        position = 0
        for _ in range(MAX_STEPS):
            name, *words = self.program[position]
            if name == "halt":
                return self
            goal = self.step(name, words)
            position = position + 1 if goal is None else goal
        raise TimeoutError(f"no halt after {MAX_STEPS} steps")

    def step(self, name, words):
        slots = self.slots
        match name, words:
            case "const", [to, value]:
                slots[int(to)] = int(value)
            case "binary", [op, bits, to, *sources]:
                operands = [slots[int(i)] for i in sources]
                bits = int(bits)
                if op in UNSIGNED:
                    result = UNSIGNED[op](*(value % 2**bits for value in operands))
                else:
                    result = SIGNED[op](*(as_signed(value, bits) for value in operands))
                slots[int(to)] = wrap(result, bits)
            case "compare", [predicate, bits, to, *sources]:
                bits, operands = int(bits), [slots[int(i)] for i in sources]
                read = as_signed if int(predicate) < 6 else lambda v, bits: v % 2**bits
                result = COMPARE[int(predicate)](*(read(v, bits) for v in operands))
                slots[int(to)] = int(result)
            case "select", [to, condition, left, right]:
                slots[int(to)] = slots[int(left if slots[int(condition)] else right)]
            case "cast", [signed, before, after, to, source]:
                value, before = slots[int(source)], int(before)
                value = as_signed(value, before) if int(signed) else value % 2**before
                slots[int(to)] = wrap(value, int(after))
            case "move", [to, source]:
                slots[int(to)] = slots[int(source)]
            case "load", [to, buffer, width, signed, _, *indices]:
                place = self.bytes_at(buffer, width, indices)
                data = self.memory[self.names["buffer"][int(buffer)]][place]
                slots[int(to)] = int.from_bytes(data, "little", signed=signed == "1")
            case "store", [source, buffer, width, _, *indices]:
                place = self.bytes_at(buffer, width, indices)
                value = slots[int(source)] % 2 ** (8 * int(width))
                data = value.to_bytes(int(width), "little")
                self.memory[self.names["buffer"][int(buffer)]][place] = data
            case "acquire" | "release", [lock, value]:
                self.use_lock(name, self.names["lock"][int(lock)], int(value))
            case "call", [kernel, _, *arguments]:
                pairs = zip(arguments[::2], map(int, arguments[1::2]))
                values = [
                    self.names["buffer"][i] if k == "b" else slots[i] for k, i in pairs
                ]
                self.trace.append((self.names["kernel"][int(kernel)], *values))
            case "jump", [target]:
                return int(target)
            case "branch", [condition, then, other]:
                return int(then if slots[int(condition)] else other)
            case _:
                raise NotImplementedError(name)
        return None

    def bytes_at(self, buffer, width, indices):
        size = len(self.memory[self.names["buffer"][int(buffer)]])
        pairs = zip(indices[::2], map(int, indices[1::2]))
        start = sum(self.slots[int(slot)] * stride for slot, stride in pairs)
        assert 0 <= start <= size - int(width)
        return slice(start, start + int(width))

    def use_lock(self, verb, lock, value):
        self.trace.append((verb, lock, value))


class GemmCore(Machine):
    """Gets the parameters of one run for each "go"."""

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
    """What the DMA programs and the memtiles are written for."""
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


def shown(body):
    """What a program calls @show with."""
    return [
        value for name, value in Machine(core_text(body)).run().trace if name == "show"
    ]


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
    """A loop that carries any map of its values, cycles, chains and copies alike."""
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


def on_memory(width, operation, left, right, result=None):
    """Elements 0 and 1 of a buffer, and what the operation stores in element 2."""
    name, kind = f"%m{width}", f"i{width}"
    shape = {8: "64xi8", 32: "8xi32", 64: "8xi64"}[width]
    body = f"""
        %a = memref.load {name}[%c0] : memref<{shape}>
        %b = memref.load {name}[%c1] : memref<{shape}>
        {operation} : {kind}
        memref.store %r, {name}[%c2] : memref<{shape}>
        """
    if result == "i1":
        body = body.replace(
            "memref.store", f"%w = arith.extui %r : i1 to {kind}\nmemref.store"
        )
        body = body.replace("store %r", "store %w")
    machine = Machine(core_text(body))
    view = np.frombuffer(machine.memory[name[1:]], f"<i{width // 8}")
    view[:2] = left, right
    machine.run()
    return view[2]


def numpy_binary(name, left, right):
    unsigned = [np.array(x).astype(f"u{x.itemsize}") for x in (left, right)]
    match name:
        case "divsi" | "remsi":
            remainder = np.fmod(left, right)
            return remainder if name == "remsi" else (left - remainder) // right
        case "divui" | "remui" | "minui" | "maxui" | "shrui":
            function = {
                "divui": np.floor_divide,
                "remui": np.remainder,
                "minui": np.minimum,
                "maxui": np.maximum,
                "shrui": np.right_shift,
            }[name]
            return function(*unsigned).astype(left.dtype)
    function = {
        "addi": np.add,
        "subi": np.subtract,
        "muli": np.multiply,
        "andi": np.bitwise_and,
        "ori": np.bitwise_or,
        "xori": np.bitwise_xor,
        "shli": np.left_shift,
        "shrsi": np.right_shift,
        "minsi": np.minimum,
        "maxsi": np.maximum,
    }[name]
    return function(left, right)


BINARIES = [
    *("addi", "subi", "muli", "andi", "ori", "xori", "shli", "shrsi", "shrui"),
    *("divsi", "divui", "remsi", "remui", "minsi", "minui", "maxsi", "maxui"),
]


def random_pair(rng, width):
    info = np.iinfo(f"i{width // 8}")
    values = rng.integers(info.min, info.max, size=2, endpoint=True, dtype=info.dtype)
    return rng.choice([values, values >> (width // 2)])


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("width", [8, 32, 64])
@pytest.mark.parametrize("name", BINARIES)
def test_arithmetic_wraps_and_divides_as_in_c(name, width):
    rng = np.random.default_rng(width)
    for _ in range(8):
        left, right = random_pair(rng, width)
        if name.startswith("sh"):
            right = right.dtype.type(rng.integers(width))
        if name.startswith(("div", "rem")) and right == 0:
            right = right.dtype.type(3)
        result = on_memory(width, f"%r = arith.{name} %a, %b", left, right)
        assert result == numpy_binary(name, left, right), (left, right)


@pytest.mark.parametrize("width", [8, 32, 64])
def test_comparisons_are_signed_or_not_as_they_say(width):
    rng = np.random.default_rng(width)
    functions = {
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    for _ in range(4):
        left, right = random_pair(rng, width)
        for predicate in (
            "eq",
            "ne",
            *(f"{s}{name}" for s in "su" for name in functions),
        ):
            result = on_memory(
                width, f"%r = arith.cmpi {predicate}, %a, %b", left, right, "i1"
            )
            pair = np.array([left, right])
            if predicate[0] == "u":
                pair = pair.astype(f"u{width // 8}")
            wanted = {"eq": left == right, "ne": left != right}.get(predicate)
            if wanted is None:
                wanted = functions[predicate[1:]](*pair)
            assert result == wanted, (predicate, left, right)


def test_a_sum_that_overflows_compares_as_it_wrapped():
    body = """
        %big = arith.constant 2147483647 : i32
        %one = arith.constant 1 : i32
        %sum = arith.addi %big, %one : i32
        %less = arith.cmpi slt, %sum, %big : i32
        %lower = arith.cmpi ult, %sum, %big : i32
        %a = arith.extui %less : i1 to i32
        %b = arith.extsi %lower : i1 to i32
        func.call @show(%sum) : (i32) -> ()
        func.call @show(%a) : (i32) -> ()
        func.call @show(%b) : (i32) -> ()
        """
    assert shown(body) == [-(2**31), 1, 0]


def test_i1_is_zero_or_one_until_it_is_extended():
    body = """
        %true = arith.constant true
        %false = arith.xori %true, %true : i1
        %again = arith.xori %false, %true : i1
        %zero = arith.extui %false : i1 to i32
        %one = arith.extui %again : i1 to i32
        %minus = arith.extsi %again : i1 to i32
        %picked = arith.select %again, %minus, %zero : i32
        %below = arith.cmpi slt, %again, %false : i1
        %below32 = arith.extui %below : i1 to i32
        func.call @show(%zero) : (i32) -> ()
        func.call @show(%one) : (i32) -> ()
        func.call @show(%picked) : (i32) -> ()
        func.call @show(%below32) : (i32) -> ()
        """
    assert shown(body) == [0, 1, -1, 1]


@pytest.mark.parametrize("true", ["true", "-1 : i1", "1 : i1"])
def test_constants_are_given_as_slots_hold_them(true):
    body = f"""
        %true = arith.constant {true}
        %byte = arith.constant 255 : i8
        func.call @flag(%true, %byte) : (i1, i8) -> ()
        """
    assert Machine(core_text(body)).run().trace == [("flag", 1, -1)]


@pytest.mark.parametrize("value", [-1, 0x1234_8765, 0x7FFF_FFFF, -(2**31), 200])
def test_casts_keep_or_extend_the_sign(value):
    body = f"""
        %x = arith.constant {value} : i32
        %short = arith.trunci %x : i32 to i8
        %signed = arith.extsi %short : i8 to i32
        %unsigned = arith.extui %short : i8 to i32
        %index = arith.index_cast %x : i32 to index
        %back = arith.index_cast %index : index to i32
        func.call @show(%signed) : (i32) -> ()
        func.call @show(%unsigned) : (i32) -> ()
        func.call @show(%back) : (i32) -> ()
        """
    assert shown(body) == [wrap(value, 8), value % 256, value]


def test_index_castui_does_not_extend_the_sign():
    """xDSL 0.74 cannot parse it."""

    @irdl_op_definition
    class IndexCastUIOp(IRDLOperation):
        name = "arith.index_castui"
        operand = operand_def(i16)
        result = result_def(IndexType())

    module = parse_module(
        DESIGN.replace(
            "BODY",
            """
            %x = arith.constant -2 : i16
            %y = arith.index_cast %x : i16 to index
            func.call @mix(%m32, %y, %m16)
              : (memref<8xi32>, index, memref<2x4x8xi16>) -> ()
            aie.end""",
        )
    )
    cast = next(op for op in module.walk() if isinstance(op, arith.IndexCastOp))
    new = IndexCastUIOp.build(operands=[cast.input], result_types=[IndexType()])
    cast.parent.insert_op_before(new, cast)
    cast.result.replace_all_uses_with(new.result)
    cast.detach()
    machine = Machine(configuration(module)).run()
    assert machine.trace == [("mix", "m32", 2**16 - 2, "m16")]


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
    "float_arithmetic": ("%x = arith.constant 1.0 : f32\n%y = arith.addf %x, %x : f32", ["arith.addf", "not supported"]),
    "while_loops": ("scf.while () : () -> () {\n%t = arith.constant true\nscf.condition(%t)\n} do {\nscf.yield\n}", ["scf.while", "not supported"]),
    "floats_in_memory": ("%x = memref.load %f32s[%c0] : memref<8xf32>", ["memref.load", "i8, i16, i32 or i64", "memref<8xf32>"]),
    "odd_integers_in_memory": ("%x = memref.load %bits[%c0] : memref<8xi24>", ["memref.load", "memref<8xi24>"]),
    "wide_integers": ("%x = arith.constant 1 : i65\n%y = arith.addi %x, %x : i65", ["arith.addi", "1 to 64 bits", "i65"]),
    "memrefs_as_values": ("%t = arith.constant true\n%x = arith.select %t, %m32, %m32 : memref<8xi32>", ["arith.select", "memref<8xi32>"]),
    "memrefs_of_the_core": ("%x = memref.alloc() : memref<8xi32>\n%y = memref.load %x[%c0] : memref<8xi32>", ["memref.alloc"]),
    "results_of_a_call": ("%x = func.call @make(%one) : (i32) -> i32", ["func.call", "make", "results"]),
    "floats_as_arguments": ("%x = arith.constant 1.0 : f32\nfunc.call @scale(%x) : (f32) -> ()", ["func.call", "scale", "f32"]),
    "functions_with_a_body": ("func.call @defined() : () -> ()", ["func.call", "defined", "declares"]),
}
# fmt: on


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_it_names_tile_and_operation_of_what_it_does_not_support(name):
    body, words = UNSUPPORTED[name]
    with pytest.raises(ValueError, match=r"^core of tile \(0, 2\): ") as error:
        configuration(parse_module(core_module(body)))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_program_without_end_is_told():
    module = parse_module(
        "aie.device(npu1_1col) {\n%t = aie.tile(0, 2)\n%c = aie.core(%t) {\n}\n}"
    )
    with pytest.raises(ValueError, match=r"tile \(0, 2\): aie.core needs an aie.end"):
        configuration(module)
