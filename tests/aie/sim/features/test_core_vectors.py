# ruff: noqa: E501  one operation a line
"""Vectors in cores' own programs, and what they send over a cascade."""

import ml_dtypes
import numpy as np
import pytest

from xdna.load.configuration import configuration
from xdna.load.design_text import read_design
from xdna.simulator import Trap

from .streams import shim, sync, virtual_npu, words
from .test_core_programs import computed

INTEGERS = """
    %c4 = arith.constant 4 : index
    %c5 = arith.constant 5 : index
    %c6 = arith.constant 6 : index
    %c7 = arith.constant 7 : index
    %c8 = arith.constant 8 : index
    %pad = arith.constant 0 : i32
    %three = arith.constant dense<3> : vector<8xi32>
    %steps = arith.constant dense<[0, 1, 2, 3, 4, 5, 6, 7]> : vector<8xi32>
    %all = scf.for %n = %c0 to %c8 step %c1 iter_args(%before = %steps) -> (vector<8xi32>) {
      %a = vector.transfer_read %x[%n, %c0], %pad {in_bounds = [true]} : memref<8x8xi32>, vector<8xi32>
      %b = vector.load %y[%n, %c0] : memref<8x8xi32>, vector<8xi32>
      %less = arith.cmpi slt, %a, %b : vector<8xi32>
      %product = arith.muli %a, %three : vector<8xi32>
      %chosen = arith.select %less, %product, %b : vector<8xi1>, vector<8xi32>
      %sum = func.call @add(%before, %chosen) : (vector<8xi32>, vector<8xi32>) -> vector<8xi32>
      vector.transfer_write %sum, %out[%n, %c0] {in_bounds = [true]} : vector<8xi32>, memref<OUT>
      scf.yield %sum : vector<8xi32>
    }
    %most = vector.reduction <maxsi>, %all : vector<8xi32> into i32
    %total = vector.reduction <add>, %all, %most : vector<8xi32> into i32
    %same = vector.broadcast %total : i32 to vector<8xi32>
    %row = arith.constant 8 : index
    vector.store %same, %out[%row, %c0] : memref<OUT>, vector<8xi32>
"""
ADD = """
  func.func @add(%a : vector<8xi32>, %b : vector<8xi32>) -> vector<8xi32> {
    %sum = arith.addi %a, %b : vector<8xi32>
    func.return %sum : vector<8xi32>
  }
"""


def test_integers_compute_element_by_element(rng):
    x, y = rng.integers(-(1 << 31), 1 << 31, (2, 8, 8)).astype(np.int32)
    result = computed(INTEGERS, x, y, "9x8xi32", ADD)
    with np.errstate(over="ignore"):
        chosen = np.where(x < y, 3 * x, y)
        sums = np.arange(8, dtype=np.int32) + np.cumsum(chosen, axis=0, dtype=np.int32)
        total = sums[-1].sum(dtype=np.int32) + sums[-1].max()
    np.testing.assert_array_equal(result[:8], sums)
    np.testing.assert_array_equal(result[8], np.full(8, total))


REARRANGED = """
    %flat = memref.collapse_shape %x [[0, 1]] : memref<4x4xi32> into memref<16xi32>
    %v = vector.load %flat[%c0] : memref<16xi32>, vector<16xi32>
    %square = vector.shape_cast %v : vector<16xi32> to vector<4x4xi32>
    %turned = vector.transpose %square, [1, 0] : vector<4x4xi32> to vector<4x4xi32>
    vector.transfer_write %turned, %out[%c0, %c0] {in_bounds = [true, true]} : vector<4x4xi32>, memref<OUT>
    %slice = vector.extract_strided_slice %v {offsets = [3], sizes = [4], strides = [1]} : vector<16xi32> to vector<4xi32>
    %row = vector.extract %square[2] : vector<4xi32> from vector<4x4xi32>
    %mixed = vector.shuffle %slice, %row [7, 0, 5, 2] : vector<4xi32>, vector<4xi32>
    %c4 = arith.constant 4 : index
    vector.store %mixed, %out[%c4, %c0] : memref<OUT>, vector<4xi32>
    %halves = vector.bitcast %slice : vector<4xi32> to vector<8xi16>
    %low = vector.extract %halves[5] : i16 from vector<8xi16>
    %low32 = arith.extsi %low : i16 to i32
    %back = vector.bitcast %halves : vector<8xi16> to vector<4xi32>
    %at = memref.load %flat[%c1] : memref<16xi32>
    %index = arith.index_cast %at : i32 to index
    %picked = vector.extract %v[%index] : i32 from vector<16xi32>
    %first = vector.insert %picked, %back [0] : i32 into vector<4xi32>
    %second = vector.insert %low32, %first [%c1] : i32 into vector<4xi32>
    %c5 = arith.constant 5 : index
    vector.store %second, %out[%c5, %c0] : memref<OUT>, vector<4xi32>
    %few = vector.from_elements %low32, %at : vector<2xi32>
    %column = vector.shape_cast %few : vector<2xi32> to vector<2x1xi32>
    %wide = vector.broadcast %column : vector<2x1xi32> to vector<2x4xi32>
    %c6 = arith.constant 6 : index
    vector.transfer_write %wide, %out[%c6, %c0] {in_bounds = [true, true]} : vector<2x4xi32>, memref<OUT>
"""


def test_elements_are_rearranged(rng):
    x = rng.integers(-(1 << 31), 1 << 31, (4, 4)).astype(np.int32)
    x[0, 1] = 13
    result = computed(REARRANGED, x, x, "8x4xi32")
    v = x.reshape(-1)
    low = v[3:7].view(np.int16)[5]
    np.testing.assert_array_equal(result[:4], x.T)
    np.testing.assert_array_equal(result[4], [x[2, 3], v[3], x[2, 1], v[5]])
    np.testing.assert_array_equal(result[5], [v[13], low, v[5], v[6]])
    np.testing.assert_array_equal(result[6:], np.repeat([[low], [13]], 4, axis=1))


FLOATS = """
    %v = vector.load %x[%c0] : memref<16xbf16>, vector<16xbf16>
    %wide = arith.extf %v : vector<16xbf16> to vector<16xf32>
    %negative = arith.negf %wide : vector<16xf32>
    %zero = arith.constant dense<0.0> : vector<16xf32>
    %below = arith.cmpf olt, %wide, %zero : vector<16xf32>
    %size = arith.select %below, %negative, %wide : vector<16xi1>, vector<16xf32>
    vector.store %size, %out[%c0] : memref<OUT>, vector<16xf32>
"""


def test_floats_move_and_are_chosen_between(rng):
    x = rng.standard_normal(16).astype(ml_dtypes.bfloat16)
    result = computed(FLOATS, x, x, "16xf32")
    np.testing.assert_array_equal(result, np.abs(x.astype(np.float32)))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("%s = arith.addf %wide, %wide : vector<16xf32>",
         r"core of tile \(0, 2\): arith.addf on vectors is not supported .* as a kernel"),
        ("%s = vector.fma %wide, %wide, %wide : vector<16xf32>",
         "vector.fma on vectors is not supported"),
        ("%s = vector.reduction <maximumf>, %wide : vector<16xf32> into f32",
         "vector.reduction of kind maximumf and type f32 is not supported"),
        ("%s = vector.transfer_read %row[%c0, %c1], %z : memref<2x8xf32>, vector<8xf32>",
         "vector.transfer_read needs in_bounds = .true., to fill up no rows"),
        ("aie.put_cascade(%v : vector<16xbf16>)",
         "aie.put_cascade needs a vector of 512 bits in bytes, got vector<16xbf16>"),
        ("func.call @take(%v) : (vector<16xbf16>) -> ()",
         "func.call of take with vector<16xbf16>: arguments must be"),
    ],
)  # fmt: skip
def test_what_rounds_or_lies_outside_is_refused(line, what, rng):
    body = FLOATS + line
    body = "%z = arith.constant 0.0 : f32\n" + body.replace(
        "%s = vector.transfer",
        "%row = memref.expand_shape %out [[0, 1]] output_shape [2, 8] : memref<OUT> into memref<2x8xf32>\n"
        "%s = vector.transfer",
    )
    x = rng.standard_normal(16).astype(ml_dtypes.bfloat16)
    take = "func.func private @take(vector<16xbf16>)"
    with pytest.raises(ValueError, match=what) as refusal:
        computed(body, x, x, "16xf32", take)
    assert "\n" not in str(refusal.value)


# The upper core sends what it reads down the cascade; the lower one adds and stores.
CASCADE = """
module {
  aie.device(DEVICE) {
    %shim = aie.tile(0, 0)
    %lower = aie.tile(0, 2)
    %upper = aie.tile(0, 3)
    aie.configure_cascade(%upper, North, South)
    aie.configure_cascade(%lower, North, South)
    aie.flow(%shim, DMA : 0, %upper, DMA : 0)
    aie.flow(%lower, DMA : 0, %shim, DMA : 0)
    %x = aie.buffer(%upper) {address = 1024 : i32, sym_name = "x"} : memref<16x16xi32>
    %y = aie.buffer(%lower) {address = 1024 : i32, sym_name = "y"} : memref<16x16xi32>
    %full = aie.lock(%upper, 0) {init = 0 : i32, sym_name = "full"}
    %done = aie.lock(%lower, 0) {init = 0 : i32, sym_name = "done"}
    %u = aie.core(%upper) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c16 = arith.constant 16 : index
      aie.use_lock(%full, AcquireGreaterEqual, 1)
      scf.for %n = %c0 to %c16 step %c1 {
        %v = vector.load %x[%n, %c0] : memref<16x16xi32>, vector<16xi32>
        aie.put_cascade(%v : vector<16xi32>)
      }
      aie.end
    }
    %l = aie.core(%lower) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c16 = arith.constant 16 : index
      scf.for %n = %c0 to %c16 step %c1 {
        %v = aie.get_cascade() : vector<16xi32>
        %w = arith.addi %v, %v : vector<16xi32>
        vector.store %w, %y[%n, %c0] : memref<16x16xi32>, vector<16xi32>
      }
      aie.use_lock(%done, Release, 1)
      aie.end
    }
    %um = aie.mem(%upper) {
      %0 = aie.dma(S2MM, 0) {loop = false} [{
        aie.dma_bd(%x : memref<16x16xi32>, 0, 256) {bd_id = 0 : i32}
        aie.use_lock(%full, Release, 1)
      }]
      aie.end
    }
    %lm = aie.mem(%lower) {
      %0 = aie.dma(MM2S, 0) {loop = false} [{
        aie.use_lock(%done, AcquireGreaterEqual, 1)
        aie.dma_bd(%y : memref<16x16xi32>, 0, 256) {bd_id = 0 : i32}
      }]
      aie.end
    }
  }
}
"""


def both_ways(name):
    return words(
        name,
        shim(name, "S2MM", 0, 0, 1, 256),
        shim(name, "MM2S", 0, 1, 0, 256),
        sync(0, "S2MM", 0),
    )


@pytest.mark.parametrize("name", ["npu1", "npu2"])
@pytest.mark.parametrize("is_generic", [False, True])
def test_vectors_pass_a_cascade_in_their_order(name, is_generic, rng):
    text = CASCADE.replace("DEVICE", name)
    if is_generic:
        for pretty, generic in (
            ("aie.put_cascade(%v : vector<16xi32>)", '"aie.put_cascade"(%v) : (vector<16xi32>) -> ()'),
            ("aie.get_cascade() : vector<16xi32>", '"aie.get_cascade"() : () -> vector<16xi32>'),
            ("vector.load %x[%n, %c0] : memref<16x16xi32>, vector<16xi32>",
             '"vector.load"(%x, %n, %c0) <{nontemporal = false}> : (memref<16x16xi32>, index, index) -> vector<16xi32>'),
        ):  # fmt: skip
            assert pretty in text
            text = text.replace(pretty, generic)
    npu = virtual_npu(text)
    x = rng.integers(-(1 << 31), 1 << 31, (16, 16)).astype(np.int32)
    y = np.zeros_like(x)
    npu.run(both_ways(name), [x, y])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, 2 * x)


def test_a_cascade_that_nobody_feeds_or_takes_traps():
    x, y = np.ones((16, 16), np.int32), np.zeros((16, 16), np.int32)
    alone = CASCADE.replace("DEVICE", "npu1").replace(
        "aie.configure_cascade(%lower, North, South)", ""
    )
    with pytest.raises(Trap, match=r"core \(0, 2\) gets from a cascade of nobody"):
        virtual_npu(alone).run(both_ways("npu1"), [x, y])
    # Four vectors lie between two cores; the fifth waits until somebody takes one.
    stuck = CASCADE.replace("DEVICE", "npu1").replace(
        "%v = aie.get_cascade() : vector<16xi32>",
        "%v = vector.broadcast %five : i32 to vector<16xi32>",
    ).replace("%l = aie.core(%lower) {", "%l = aie.core(%lower) {\n %five = arith.constant 5 : i32")  # fmt: skip
    npu = virtual_npu(stuck)
    npu.run(both_ways("npu1"), [x, y])
    np.testing.assert_array_equal(y, np.full_like(y, 10))
    (upper,) = [
        agent for agent in npu.state()["agents"] if agent["name"] == "core (0, 3)"
    ]
    assert (upper["does"], upper["waits"]) == ("cascade", 1)


def test_a_configuration_reads_the_vectors_of_its_own_device():
    text = configuration(read_design(CASCADE.replace("DEVICE", "npu1")))
    lines = [line.split() for line in text.splitlines()]
    put, get = (
        [w for w in lines if w[0] == f"{verb}_cascade"] for verb in ("put", "get")
    )
    assert [line[1:3] for line in put] == [["4", "16"]]
    assert [line[1:4] for line in get] == [["1", "4", "16"]]
