"""A core multiplies operands in tiles, in any order, and adds to C or begins it."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from xdna.devices import device
from xdna.dialect.text import parse_module
from xdna.gemm.programs.kernel_calls import BEGINS_C
from xdna.load.configuration import configuration
from xdna.simulator import Trap, VirtualNpu
from xdna.stream.instructions import Sync, encode
from xdna.stream.shim_bd import ShimTransfer, operations

BF16 = ml_dtypes.bfloat16
# C = A0 B, C += A1 B on one core, A (32, 64), B (64, 32).
DESIGN = (Path(__file__).parent / "designs" / "matmul_tiles.mlir").read_text()
WORDS = {
    "FIRST_FLAGS": "4",
    "FLAGS": "0",
    "A_SHAPE": "32x64",
    "B_SHAPE": "64x32",
    "C_SHAPE": "32x32",
}
# Device, the virtual NPU's arithmetic, the model's name for it.
ARITHMETICS = [
    ("npu1", "exact", "exact"),
    ("npu2", "exact", "sequential"),
    ("npu2", "bfp16", "bfp16"),
]


def virtual_npu(name, arithmetic="exact", b_column_major=False, **words):
    text = DESIGN.replace("DEVICE", name)
    for word, value in (WORDS | words).items():
        text = text.replace(word, value)
    design = configuration(parse_module(text))
    return VirtualNpu(design, arithmetic, b_column_major=b_column_major)


def run(npu, name, buffers):
    """Streams both As, B, and C, each as it lies in DDR."""
    transfers = [
        ShimTransfer(
            *(0, direction, channel, bd_id, argument, 0),
            *((1, 1, 1, num_words), (0, 0, 0, 1), direction == "S2MM"),
        )
        for direction, channel, bd_id, argument, num_words in (
            ("S2MM", 0, 0, 2, 1024),
            ("MM2S", 0, 1, 0, 2048),
            ("MM2S", 1, 2, 1, 1024),
        )
    ]
    parts = [part for one in transfers for part in operations(device(name), one)]
    words = encode(device(name), [*parts, Sync(0, 0, "S2MM", 0)])
    return npu.run(words, buffers)


def image(x):
    """A stored matrix in tiles of 16 x 16."""
    rows, columns = x.shape[0] // 16, x.shape[1] // 16
    return x.reshape(rows, 2, 8, columns, 2, 8).transpose(0, 3, 1, 4, 2, 5)


def of_operand(stored, k_is_rows):
    """Its tiles as a core takes them: [k/16][lines/16]."""
    tiles = image(stored)
    return tiles if k_is_rows else tiles.swapaxes(0, 1)


@pytest.mark.parametrize("k", [64, 40, 16, 0])
@pytest.mark.parametrize("b_column_major", [False, True])
@pytest.mark.parametrize("orders", range(4))
@pytest.mark.parametrize(("name", "arithmetic", "modelled"), ARITHMETICS)
def test_sums_in_tiles_have_the_bits_of_the_model(
    rng, model, assert_same_bits, name, arithmetic, modelled, orders, b_column_major, k
):
    first, second = rng.standard_normal((2, 32, 64)).astype(BF16)
    b = rng.standard_normal((64, 32)).astype(BF16)
    if k < 64:  # as where operands are padded
        second[:, k:] = b[k:] = 0
    a_tiles = [
        of_operand(a.T if orders & 1 else a, orders & 1) for a in (first, second)
    ]
    b_tiles = of_operand(b.T if orders & 2 else b, not orders & 2)
    tiles = [np.array(x, order="C") for x in (a_tiles, b_tiles)]
    size = 4 if name == "npu1" else 8
    c = np.full((32 // size, 32 // size, size, size), np.nan, np.float32)
    # How other kernels find their B must not matter here.
    flags = {"FIRST_FLAGS": str(orders + BEGINS_C), "FLAGS": str(orders)}
    npu = virtual_npu(name, arithmetic, b_column_major, **flags)
    report = run(npu, name, [*tiles, c])
    actual = c.transpose(0, 2, 1, 3).reshape(32, 32)
    begun = model(first, b, np.zeros((32, 32), np.float32), modelled)
    assert_same_bits(actual, model(second, b, begun, modelled))
    assert (report.kernel_calls, report.macs) == (2, 2 * 32 * 64 * 32)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"FIRST_FLAGS": "12"}, "the flags must be in 0 to 7, got 12"),
        ({"FIRST_FLAGS": "-1"}, "the flags must be in 0 to 7, got -1"),
        ({"C_SHAPE": "16x64"}, "operands do not fit each other"),
        ({"A_SHAPE": "256x8"}, "operands do not fit each other"),
    ],
    ids=str,
)
def test_calls_that_the_kernel_cannot_serve_trap(words, message):
    npu = virtual_npu("npu1", **words)
    buffers = [np.zeros(4096, BF16), np.zeros(2048, BF16), np.zeros(1024, np.float32)]
    with pytest.raises(
        Trap, match=rf"\(0, 2\) calls matmul_tiles_bf16_f32: .*{message}"
    ):
        run(npu, "npu1", buffers)


def test_adding_to_sums_that_nothing_began_traps():
    npu = virtual_npu("npu1", FIRST_FLAGS="0")
    buffers = [np.zeros(4096, BF16), np.zeros(2048, BF16), np.zeros(1024, np.float32)]
    with pytest.raises(Trap, match="reads byte 0 of buffer c, which nothing has"):
        run(npu, "npu1", buffers)
