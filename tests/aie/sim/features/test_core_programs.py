# ruff: noqa: E501  one operation a line
"""Programs of cores in the forms that other compilers write them in."""

import ml_dtypes
import numpy as np
import pytest

from xdna.load.configuration import configuration
from xdna.load.design_text import read_design
from xdna.simulator import Kernel, Trap, VirtualNpu

from .streams import shim, sync, words

NAME = "npu2"
# The core computes once; then its DMA sends what it has written to the host.
ONE_CORE = """
aie.device(npu2) {
  %shim = aie.tile(0, 0)
  %tile = aie.tile(0, 2)
  aie.flow(%tile, DMA : 0, %shim, DMA : 0)
  %x = aie.buffer(%tile) {address = 1024 : i32, sym_name = "x"} : memref<X>
  %y = aie.buffer(%tile) {address = 8192 : i32, sym_name = "y"} : memref<Y>
  %out = aie.buffer(%tile) {address = 16384 : i32, sym_name = "out"} : memref<OUT>
  %done = aie.lock(%tile, 0) {init = 0 : i32}
  FUNCTIONS
  %core = aie.core(%tile) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    BODY
    aie.use_lock(%done, Release, 1)
    aie.end
  }
  %mem = aie.mem(%tile) {
    %0 = aie.dma(MM2S, 0) {loop = false} [{
      aie.use_lock(%done, AcquireGreaterEqual, 1)
      aie.dma_bd(%out : memref<OUT>, 0, COUNT) {bd_id = 0 : i32}
    }]
    aie.end
  }
}
"""
DTYPES = {"i32": np.int32, "f32": np.float32, "bf16": ml_dtypes.bfloat16}


def computed(body, x, y, out, functions="", kernels=()):
    """What the core leaves in `out`, a type such as 4x8xi32; x and y are its inputs."""
    text = ONE_CORE.replace("BODY", body).replace("FUNCTIONS", functions)
    for name, array in (("X", x), ("Y", y)):
        element = next(key for key, dtype in DTYPES.items() if dtype == array.dtype)
        shape = "x".join(map(str, array.shape))
        data = f'dense<"0x{array.tobytes().hex()}">'
        text = text.replace(f"memref<{name}>", f"memref<{shape}x{element}> = {data}")
    *shape, element = out.split("x")
    result = np.zeros([int(size) for size in shape], DTYPES[element])
    text = text.replace("OUT", out).replace("COUNT", str(result.size))
    npu = VirtualNpu(configuration(read_design(text)), kernels=kernels)
    num_words = result.nbytes // 4
    stream = words(NAME, shim(NAME, "S2MM", 0, 0, 0, num_words), sync(0, "S2MM", 0))
    npu.run(stream, [result])
    return result


BINARY = {
    "addf": np.add,
    "subf": np.subtract,
    "mulf": np.multiply,
    "divf": np.divide,
    "minimumf": np.minimum,
    "maximumf": np.maximum,
    "minnumf": np.fmin,
    "maxnumf": np.fmax,
}
UNARY = {"negf": np.negative, "absf": np.abs, "sqrt": np.sqrt, "floor": np.floor,
         "ceil": np.ceil, "trunc": np.trunc, "roundeven": np.rint}  # fmt: skip


@pytest.mark.parametrize("element", ["f32", "bf16"])
def test_floats_are_rounded_to_nearest_even(element, rng):
    dtype, count = DTYPES[element], 32
    x, y = (
        (rng.standard_normal(count) * 2.0 ** rng.integers(-70, 70, count)).astype(dtype)
        for _ in range(2)
    )
    x[:6] = [0, -0.0, np.inf, np.nan, 2.5, -1e-40]
    y[:6] = [-0.0, 0, np.inf, 1, 0, 1e-40]
    operations = [f"arith.{name}" for name in BINARY]
    operations += [f"{'arith' if name == 'negf' else 'math'}.{name}" for name in UNARY]
    lines = []
    for i, name in enumerate(operations):
        operands = "%a, %b" if i < len(BINARY) else "%a"
        lines += [f"%i{i} = arith.constant {i} : index",
                  f"%r{i} = {name} {operands} : {element}",
                  f"memref.store %r{i}, %out[%i{i}, %n] : memref<OUT>"]  # fmt: skip
    body = f"""
    %count = arith.constant {count} : index
    scf.for %n = %c0 to %count step %c1 {{
      %a = memref.load %x[%n] : memref<{count}x{element}>
      %b = memref.load %y[%n] : memref<{count}x{element}>
      {chr(10).join(lines)}
    }}"""
    result = computed(body, x, y, f"{len(operations)}x{count}x{element}")
    with np.errstate(all="ignore"):
        expected = [f(x, y) for f in BINARY.values()] + [f(x) for f in UNARY.values()]
    for name, row, wanted in zip(operations, result, expected):
        both_zero = (row == 0) & (wanted == 0)  # of which min and max differ in sign
        bits = [
            a.astype(np.float32).view(np.int32) for a in (row, wanted.astype(dtype))
        ]
        is_same = (bits[0] == bits[1]) | both_zero | (np.isnan(row) & np.isnan(wanted))
        assert is_same.all(), name


def test_floats_are_compared_and_converted(rng):
    x = np.array([1.5, -2.5, np.nan, 3e9, 255.9, -0.5, 1e30, 7], np.float32)
    y = np.array([1.5, 4, 1, -3e9, np.nan, 0.5, -1e30, 8], np.float32)
    predicates = ["false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord",
                  "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"]  # fmt: skip
    compared = "\n".join(
        f"""%p{i} = arith.cmpf {name}, %a, %b : f32
        %q{i} = arith.extui %p{i} : i1 to i32
        %k{i} = arith.constant {i} : index
        memref.store %q{i}, %out[%k{i}, %n] : memref<OUT>"""
        for i, name in enumerate(predicates)
    )
    body = f"""
    %count = arith.constant 8 : index
    scf.for %n = %c0 to %count step %c1 {{
      %a = memref.load %x[%n] : memref<8xf32>
      %b = memref.load %y[%n] : memref<8xf32>
      {compared}
      %signed = arith.fptosi %a : f32 to i32
      %back = arith.sitofp %signed : i32 to bf16
      %wide = arith.extf %back : bf16 to f32
      %bits = arith.bitcast %wide : f32 to i32
      %byte = arith.fptoui %a : f32 to i8
      %byte_wide = arith.extui %byte : i8 to i32
      %r0 = arith.constant 16 : index
      %r1 = arith.constant 17 : index
      %r2 = arith.constant 18 : index
      memref.store %signed, %out[%r0, %n] : memref<OUT>
      memref.store %bits, %out[%r1, %n] : memref<OUT>
      memref.store %byte_wide, %out[%r2, %n] : memref<OUT>
    }}"""
    result = computed(body, x, y, "19x8xi32")
    unordered = np.isnan(x) | np.isnan(y)
    ordered = [x == y, x > y, x >= y, x < y, x <= y, (x != y) & ~unordered]
    expected = [
        *(np.zeros(8, bool), *ordered, ~unordered),
        *(*(one | unordered for one in ordered), unordered, np.ones(8, bool)),
    ]
    np.testing.assert_array_equal(result[:16], np.array(expected, np.int32))
    limits = np.iinfo(np.int32)
    signed = np.clip(np.nan_to_num(np.trunc(x.astype(float))), limits.min, limits.max)
    np.testing.assert_array_equal(result[16], signed)
    rounded = result[16].astype(np.float32).astype(DTYPES["bf16"]).astype(np.float32)
    np.testing.assert_array_equal(result[17].view(np.float32), rounded)
    np.testing.assert_array_equal(result[18], [1, 0, 0, 255, 255, 0, 255, 7])


ADD = """
  func.func @add(%from : memref<4xi32>, %index : index, %by : i32) -> (i32, index) {
    %one = arith.constant 1 : index
    %old = memref.load %from[%index] : memref<4xi32>
    %is_old = arith.cmpi slt, %old, %by : i32
    %value = scf.if %is_old -> (i32) {
      scf.yield %by : i32
    } else {
      %sum = arith.addi %old, %by : i32
      scf.yield %sum : i32
    }
    %next = arith.addi %index, %one : index
    func.return %value, %next : i32, index
  }
  func.func @both(%a : memref<4xi32>, %b : memref<4xi32>, %at : index) -> i32 {
    %big = arith.constant 100 : i32
    %x, %next = func.call @add(%a, %at, %big) : (memref<4xi32>, index, i32) -> (i32, index)
    %y, %last = func.call @add(%b, %next, %x) : (memref<4xi32>, index, i32) -> (i32, index)
    func.return %y : i32
  }
"""


def test_functions_with_a_body_run_where_they_are_called(rng):
    x, y = rng.integers(-999, 999, (2, 4)).astype(np.int32)
    x[0], y[1] = 150, -5
    body = """
    %a = func.call @both(%x, %y, %c0) : (memref<4xi32>, memref<4xi32>, index) -> i32
    %b = func.call @both(%y, %x, %c1) : (memref<4xi32>, memref<4xi32>, index) -> i32
    memref.store %a, %out[%c0] : memref<OUT>
    memref.store %b, %out[%c1] : memref<OUT>"""

    def add(old, by):
        return by if old < by else old + by

    expected = [add(y[1], add(x[0], 100)), add(x[2], add(y[1], 100))]
    np.testing.assert_array_equal(computed(body, x, y, "2xi32", ADD), expected)


PLACES = """
    %c3 = arith.constant 3 : index
    %true = arith.constant true
    %chosen = arith.select %true, %y, %x : memref<4x8xi32>
    %flat = memref.collapse_shape %chosen [[0, 1]] : memref<4x8xi32> into memref<32xi32>
    cf.br ^next(%c0, %x : index, memref<4x8xi32>)
  ^next(%n : index, %from : memref<4x8xi32>):
    %is_in = arith.cmpi slt, %n, %c3 : index
    cf.cond_br %is_in, ^body, ^end
  ^body:
    %n32 = arith.index_cast %n : index to i32
    %row = memref.subview %from[%n, 2] [1, 4] [1, 1] : memref<4x8xi32> to memref<4xi32, strided<[1], offset: ?>>
    %to = memref.subview %out[%n, 0] [1, 4] [1, 1] : memref<OUT> to memref<4xi32, strided<[1], offset: ?>>
    func.call @twice(%row, %to) : (memref<4xi32, strided<[1], offset: ?>>, memref<4xi32, strided<[1], offset: ?>>) -> ()
    %one = memref.load %row[%c1] : memref<4xi32, strided<[1], offset: ?>>
    %two = memref.load %flat[%n] : memref<32xi32>
    memref.store %one, %to[%c3] : memref<4xi32, strided<[1], offset: ?>>
    memref.store %two, %to[%c0] : memref<4xi32, strided<[1], offset: ?>>
    %then = arith.addi %n, %c1 : index
    cf.switch %n32 : i32, [
      default: ^next(%then, %x : index, memref<4x8xi32>),
      0: ^next(%then, %y : index, memref<4x8xi32>),
      7: ^end
    ]
  ^end:
"""
TWICE = """
  func.func private @twice(memref<4xi32, strided<[1], offset: ?>>, memref<4xi32, strided<[1], offset: ?>>)
"""


def twice(x, y):
    y[...] = 2 * x


def test_memrefs_are_chosen_and_cut_at_run_time(rng):
    x, y = rng.integers(-999, 999, (2, 4, 8)).astype(np.int32)
    kernel = Kernel("twice", twice, "rw", [np.int32, np.int32], cycles=1)
    result = computed(PLACES, x, y, "3x4xi32", TWICE, [kernel])
    expected = np.array([2 * x[0, 2:6], 2 * y[1, 2:6], 2 * x[2, 2:6]])
    expected[:, 0] = y[0, :3]
    expected[:, 3] = [x[0, 3], y[1, 3], x[2, 3]]
    np.testing.assert_array_equal(result, expected)


def test_a_view_that_leaves_its_buffer_traps(rng):
    x, y = rng.integers(-999, 999, (2, 4, 8)).astype(np.int32)
    kernel = Kernel("twice", twice, "rw", [np.int32, np.int32], cycles=1)
    outside = PLACES.replace("%c3 = arith.constant 3", "%c3 = arith.constant 9")
    with pytest.raises(
        Trap, match=r"takes 16 bytes from byte 136 of buffer x on, .*128"
    ):
        computed(
            outside.replace("memref.store %one", "// "),
            x,
            y,
            "9x4xi32",
            TWICE,
            [kernel],
        )
