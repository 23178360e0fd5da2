# ruff: noqa: E501  one operation a line
"""Loops, branches and copies of cores that are not in their simplest form yet."""

import numpy as np
import pytest

from .test_core_programs import computed

FLOW = """
    %zero = arith.constant 0 : i32
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    scf.for %n = %c0 to %c8 step %c1 {
      %start = memref.load %x[%n] : memref<8xi32>
      %steps, %last = scf.while (%k = %c0, %v = %start) : (index, i32) -> (index, i32) {
        %above = arith.cmpi sgt, %v, %zero : i32
        scf.condition(%above) %k, %v : index, i32
      } do {
      ^bb0(%k: index, %v: i32):
        %by = memref.load %y[%c0] : memref<1xi32>
        %odd = arith.index_cast %k : index to i32
        %bit = arith.andi %odd, %by : i32
        %more = scf.if %above0 -> (i32) {
          scf.yield %by : i32
        } else {
          scf.yield %bit : i32
        }
        %less = arith.subi %v, %more : i32
        %next = arith.addi %k, %c1 : index
        scf.yield %next, %less : index, i32
      }
      %steps32 = arith.index_cast %steps : index to i32
      %rest = arith.remui %n, %c4 : index
      %chosen = scf.index_switch %rest -> i32
      case 1 {
        scf.yield %steps32 : i32
      }
      case 3 {
        scf.yield %last : i32
      }
      default {
        scf.yield %start : i32
      }
      memref.store %chosen, %out[%c0, %n] : memref<OUT>
    }
    %row = memref.subview %out[1, 0] [1, 8] [1, 1] : memref<OUT> to memref<8xi32, strided<[1], offset: 8>>
    %same = memref.assume_alignment %x, 32 : memref<8xi32>
    memref.copy %same, %row : memref<8xi32> to memref<8xi32, strided<[1], offset: 8>>
"""


def test_while_switches_and_copies_run(rng):
    x = rng.integers(-20, 50, 8).astype(np.int32)
    y = np.array([3], np.int32)
    body = FLOW.replace("scf.for", "%above0 = arith.constant true\n    scf.for", 1)
    result = computed(body, x, y, "2x8xi32")
    steps = np.maximum(-(-x // 3), 0)
    last = np.where(x > 0, x - 3 * steps, x)
    expected = x.copy()
    expected[1::4], expected[3::4] = steps[1::4], last[3::4]
    np.testing.assert_array_equal(result, [expected, x])


def test_flags_that_only_promise_are_read(rng):
    x = rng.integers(0, 100, 4).astype(np.int32)
    body = """
    %v = memref.load %x[%c2] : memref<4xi32>
    %byte = arith.trunci %v overflow<nsw, nuw> : i32 to i8
    %wide = arith.extui %byte nneg : i8 to i32
    memref.store %wide, %out[%c0] : memref<OUT>"""
    np.testing.assert_array_equal(computed(body, x, x, "1xi32"), [x[2]])


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("%s = arith.select %c0, %c1, %c2 : index, index", "needs one i1 or one each, got index"),
        ("%s = arith.extsi %c0 : index to i32", "needs integers, the result wider, got index to i32"),
        ("%s = arith.cmpi less, %c0, %c1 : index", "expected one of eq, ne, slt"),
        ("memref.copy %x, %y : memref<4xi32> to memref<1xi32>", "memrefs of one shape"),
    ],
)  # fmt: skip
def test_malformed_operations_are_refused_in_one_line(line, what):
    x, y = np.zeros(4, np.int32), np.zeros(1, np.int32)
    with pytest.raises(ValueError, match=what) as refusal:
        computed(line, x, y, "1xi32")
    assert "\n" not in str(refusal.value)


def test_divisions_round_down_or_up(rng):
    x = rng.integers(-40, 40, 64).astype(np.int32)
    y = rng.integers(1, 9, 64).astype(np.int32) * rng.choice([-1, 1], 64)
    y = y.astype(np.int32)
    rows = {
        "floordivsi": x // y,
        "ceildivsi": -(-x // y),
        "ceildivui": -(-x.view(np.uint32).astype(np.int64) // y.view(np.uint32)),
    }
    lines = [
        f"""
        %row{i} = arith.constant {i} : index
        %r{i} = arith.{name} %a, %b : i32
        memref.store %r{i}, %out[%row{i}, %n] : memref<OUT>"""
        for i, name in enumerate(rows)
    ]
    body = f"""
    %count = arith.constant 64 : index
    scf.for %n = %c0 to %count step %c1 {{
      %a = memref.load %x[%n] : memref<64xi32>
      %b = memref.load %y[%n] : memref<64xi32>
      {"".join(lines)}
      %index = arith.index_cast %a : i32 to index
      %down = index.floordivs %index, %c2
      %down32 = arith.index_cast %down : index to i32
      %row3 = arith.constant 3 : index
      memref.store %down32, %out[%row3, %n] : memref<OUT>
    }}"""
    expected = np.array([*rows.values(), x // 2]).astype(np.int32)
    np.testing.assert_array_equal(computed(body, x, y, "4x64xi32"), expected)
