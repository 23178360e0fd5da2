"""Arithmetic, comparisons and casts of a core's program, compared with NumPy's."""

import numpy as np
import pytest
from xdsl.dialects.builtin import IndexType, i16
from xdsl.irdl import IRDLOperation, irdl_op_definition, operand_def, result_def

from xdna.dialect.text import parse_module
from xdna.load.configuration import configuration

from .core_machine import DESIGN, Machine, core_text, shown, wrap


def on_memory(width, operation, left, right, result=None):
    """The result of an operation on two elements of a buffer, by way of a third."""
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
    # xDSL 0.74 cannot parse the operation, so it is put into a parsed program.

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
    cast = next(op for op in module.walk() if op.name == "arith.index_cast")
    new = IndexCastUIOp.build(operands=[cast.input], result_types=[IndexType()])
    cast.parent.insert_op_before(new, cast)
    cast.result.replace_all_uses_with(new.result)
    cast.detach()
    machine = Machine(configuration(module)).run()
    assert machine.trace == [("mix", "m32", 2**16 - 2, "m16")]
