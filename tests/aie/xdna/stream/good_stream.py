"""A stream that keeps every rule, to break one at a time, and checks of streams."""

import pytest

from xdna.devices import device
from xdna.stream.check import check_stream
from xdna.stream.instructions import Sync, Write, encode, tile_address
from xdna.stream.shim_bd import ShimTransfer, operations

NPU1 = device("npu1_2col")
COLUMNS = range(NPU1.num_columns)
NUM_STEPS = 5
ROW_WORDS = 1000
# Each column's C is made from the A of both columns and from its own B.
FED_BY = {(column, 0): [(0, 0), (1, 0), (column, 1)] for column in COLUMNS}
ARGUMENT_BYTES = [4 * ROW_WORDS * (NUM_STEPS + 1)] * 3


def transfer(column, direction, channel, bd_id, step=0, token=False):
    argument = 2 if direction == "S2MM" else channel
    sizes, strides = (2, 1, 4, 8), (ROW_WORDS // 2, 0, 16, 1)
    offset = 4 * ROW_WORDS * step
    place = (column, direction, channel, bd_id, argument, offset, sizes, strides)
    return operations(NPU1, ShimTransfer(*place, token))


def c_of(step):
    bd_id = step % 2
    return [transfer(c, "S2MM", 0, bd_id, step, token=True) for c in COLUMNS]


def ab_of(step):
    a_id, b_id = 2 + step % 2, 4 + step % 2
    a = [transfer(c, "MM2S", 0, a_id, step) for c in COLUMNS]
    return a + [transfer(c, "MM2S", 1, b_id, step) for c in COLUMNS]


def flat(*groups):
    return [operation for group in groups for item in group for operation in item]


ALL_C = Sync(0, 0, "S2MM", 0, len(COLUMNS))


def good():
    """Two steps in flight, each a push of A, B and C; parameters after the first."""
    ops = flat(ab_of(0), c_of(0), ab_of(1), c_of(1))
    ops += [Write(tile_address(0, 2, 0x500), 7), Write(tile_address(0, 2, 0x1F040), 1)]
    for step in range(2, NUM_STEPS):
        ops += [ALL_C, *flat(ab_of(step), c_of(step))]
    return [*ops, ALL_C, ALL_C]


def check(ops, argument_bytes=None, fed_by=FED_BY):
    check_stream(encode(NPU1, ops), NPU1, 3, argument_bytes, fed_by)


def refused(ops, message, **options):
    with pytest.raises(ValueError, match=f"^word [0-9]+: {message}") as error:
        check(ops, **options)
    assert "\n" not in str(error.value)


def without(ops, kind, index=0):
    """ops without one operation of that kind."""
    places = [i for i, op in enumerate(ops) if isinstance(op, kind)]
    del ops[places[index]]
    return ops
