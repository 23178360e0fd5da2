import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdna.devices import device
from xdna.stream.bd_fields import pattern, unpack
from xdna.stream.decoding import decode
from xdna.stream.instructions import (
    HEADER_WORDS,
    BlockWrite,
    DdrPatch,
    MaskWrite,
    Write,
    encode,
)
from xdna.stream.pushed_transfers import transfers_of
from xdna.stream.shim_bd import (
    ShimTransfer,
    ShimTransfers,
    canonical,
    in_words,
    operations,
    transfer_words,
)

NPU1 = device("npu1")
LINEAR = ShimTransfer(0, "MM2S", 0, 0, 0, 0, (1, 1, 1, 256), (0, 0, 0, 1))
TILED = ShimTransfer(0, "MM2S", 0, 0, 0, 0, (1, 2, 32, 32), (4096, 2048, 64, 1))


@st.composite
def transfers(draw):
    stride = draw(st.sampled_from([0, 1, 1 << 20]))
    sizes = [st.integers(1, 64 if stride else 256), st.integers(1, 4000)]
    sizes += [st.integers(1, 1023), st.integers(1, 1023)]
    step = st.integers(1, 1 << 20)
    return ShimTransfer(
        column=draw(st.integers(0, 3)),
        direction=draw(st.sampled_from(["S2MM", "MM2S"])),
        channel=draw(st.integers(0, 1)),
        bd_id=draw(st.integers(0, 15)),
        argument=draw(st.integers(0, 4)),
        offset_bytes=4 * draw(st.integers(0, (1 << 30) - 1)),
        sizes=tuple(draw(size) for size in sizes),
        strides=(stride, draw(step), draw(step), draw(st.sampled_from([1, 1, 7]))),
        token=draw(st.booleans()),
    )


def addresses(transfer):
    """Every word that a transfer of at most some thousand words visits, in order."""
    grid = np.indices(transfer.sizes).reshape(4, -1)
    return np.asarray(transfer.strides) @ grid


def stacked(items):
    return ShimTransfers(*(np.array(field) for field in zip(*items)))


def test_i32_transfer_has_the_golden_words():
    bd, patch, push = operations(NPU1, TILED._replace(offset_bytes=16384))
    assert bd.address == 0x1D000
    assert bd.data[:4] == (2048, 0, 0, 0x02000000)
    assert bd.data[4:] == (0x8200003F, 0x020007FF, 0, 0x02000000)
    assert patch == DdrPatch(0x1D004, 0, 16384)
    assert push == Write(0x1D214, 0)


def test_bf16_transfer_with_repeat_and_token_has_the_golden_words():
    sizes, strides = in_words((4, 4, 64, 64), (0, 64, 256, 1), element_bytes=2)
    transfer = ShimTransfer(2, "S2MM", 0, 0, 1, 0, sizes, strides, token=True)
    bd, _, token, push = operations(NPU1, transfer)
    assert bd.address == 0x0401D000
    assert token == MaskWrite(0x0401D200, 0xF00, 0x1F00)
    assert push == Write(0x0401D204, 0x80030000)


def test_sample_has_the_golden_words(sample_words):
    header, stream = decode(sample_words)
    fill = in_words((2, 2, 16, 8), (256, 8, 16, 1), element_bytes=2)
    drain = ShimTransfer(
        0, "S2MM", 0, 0, 1, 0, (1, 1, 1, 256), (0, 0, 0, 1), token=True
    )
    expected = operations(header.device, drain)
    expected += operations(header.device, ShimTransfer(0, "MM2S", 0, 1, 0, 0, *fill))
    assert [operation for _, operation in stream[:7]] == expected


@pytest.mark.parametrize(("name", "code"), [("npu1", 2), ("npu2", 3), ("npu2_1col", 3)])
def test_burst_is_the_longest_of_the_device(name, code):
    assert unpack(operations(device(name), LINEAR)[0].data)["burst"] == code


def test_contiguous_pattern_is_its_length_alone():
    whole = LINEAR._replace(sizes=(1, 1, 1, 60000))
    by_rows = LINEAR._replace(sizes=(1, 10, 60, 100), strides=(0, 6000, 100, 1))
    assert operations(NPU1, by_rows) == operations(NPU1, whole)
    assert operations(NPU1, whole)[0].data == (
        60000,
        0,
        0,
        0,
        2 << 30,
        2 << 24,
        0,
        1 << 25,
    )


def test_fourth_dimension_without_stride_is_repeats_alone():
    bd, _, push = operations(NPU1, LINEAR._replace(sizes=(200, 1, 1, 4)))
    assert bd.data[6] == 0
    assert push.value == 199 << 16


@given(transfers())
def test_operations_read_back_as_the_canonical_transfer(transfer):
    _, stream = decode(encode(NPU1, operations(NPU1, transfer)))
    ((_, back),) = transfers_of(stream)
    assert back == canonical(transfer)


@given(
    st.tuples(*[st.integers(1, 6)] * 4),
    st.tuples(st.integers(0, 9), *[st.integers(1, 40)] * 3),
)
def test_bd_visits_the_words_of_the_transfer(sizes, strides):
    transfer = TILED._replace(sizes=sizes, strides=strides)
    np.testing.assert_array_equal(addresses(canonical(transfer)), addresses(transfer))
    bd, _, push = operations(NPU1, transfer)
    wrap, *inner = pattern(unpack(bd.data))[0]
    assert (wrap if strides[0] else 1) in (sizes[0], 1)
    assert np.prod(inner) * ((push.value >> 16) + 1) == np.prod(sizes)


@given(st.lists(transfers(), min_size=1, max_size=12), st.booleans())
def test_many_transfers_at_once_have_the_words_of_each(items, token):
    items = [item._replace(token=token) for item in items]
    rows = transfer_words(NPU1, stacked(items))
    expected = [op for item in items for op in operations(NPU1, item)]
    np.testing.assert_array_equal(rows.ravel(), encode(NPU1, expected)[HEADER_WORDS:])


@pytest.mark.parametrize(("token", "num_words"), [(False, 30), (True, 37)])
def test_words_of_many_transfers_are_a_row_each(token, num_words):
    items = [TILED._replace(bd_id=i, token=token) for i in range(16)]
    rows = transfer_words(NPU1, stacked(items))
    assert rows.shape == (16, num_words)


def test_rows_must_agree_on_tokens():
    with pytest.raises(ValueError, match="all have a token or none"):
        transfer_words(NPU1, stacked([TILED, TILED._replace(token=True)]))


def test_hundreds_of_transfers_take_under_a_millisecond():
    fields = stacked([TILED._replace(bd_id=i % 16, token=True) for i in range(400)])

    def seconds():
        start = time.perf_counter()
        transfer_words(NPU1, fields)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(20)) < 1e-3


LIMITS = {
    "size of D0 and D1 must be 1-1023, got 1024": {
        "sizes": (1, 2, 2, 1024),
        "strides": (0, 9999, 2048, 1),
    },
    "size of D0 and D1 must be 1-1023, got 2000": {
        "sizes": (1, 2, 2000, 8),
        "strides": (0, 99999, 16, 1),
    },
    "size must be 1-4294967295, got 0": {"sizes": (1, 0, 1, 4)},
    "length in words must be 1-4294967295, got 8589934592": {
        "sizes": (1, 8, 1 << 30, 1)
    },
    "stride of D0, D1 and D2 must be 1-1048576, got 1048577": {
        "strides": (0, (1 << 20) + 1, 64, 1)
    },
    "stride of D0, D1 and D2 must be 1-1048576, got 0": {"strides": (0, 0, 64, 1)},
    "stride of the iterations must be 0-1048576, got 1048577": {
        "sizes": (2, 2, 32, 32),
        "strides": ((1 << 20) + 1, 2048, 64, 1),
    },
    "number of iterations must be 1-64, got 65": {"sizes": (65, 2, 32, 32)},
    "number of repeats must be 1-256, got 257": {
        "sizes": (257, 2, 32, 32),
        "strides": (0, 2048, 64, 1),
    },
    "column must be 0-3, got 4": {"column": 4},
    "channel must be 0-1, got 2": {"channel": 2},
    "BD id must be 0-15, got 16": {"bd_id": 16},
    "argument must be 0-4, got 5": {"argument": 5},
    "byte offset must be 0-4294967295, got 4294967296": {"offset_bytes": 1 << 32},
    "byte offset modulo 4 must be 0-0, got 2": {"offset_bytes": 2},
    "direction must be S2MM or MM2S": {"direction": "up"},
}


@pytest.mark.parametrize(("message", "change"), LIMITS.items())
def test_limits_are_named(message, change):
    broken = TILED._replace(**change)
    message = f"^shim .* BD {broken.bd_id}: {message}"
    with pytest.raises(ValueError, match=message):
        operations(NPU1, broken)
    with pytest.raises(ValueError, match=message):
        transfer_words(NPU1, stacked([TILED._replace(bd_id=7), broken]))


def test_limits_themselves_are_legal():
    steps = (1 << 20,) * 3
    operations(NPU1, TILED._replace(sizes=(64, 4096, 1023, 1023), strides=(*steps, 1)))
    operations(NPU1, LINEAR._replace(sizes=(256, 1, 1, (1 << 32) - 1)))


@pytest.mark.parametrize(
    ("sizes", "strides", "message"),
    [
        ((1, 1, 2, 3), (0, 0, 4, 1), "size must be a multiple of 4 bytes, got 3"),
        ((1, 1, 2, 4), (0, 0, 5, 1), "stride must be a multiple of 4 bytes, got 5"),
        ((1, 1, 2, 4), (0, 0, 8, 2), "innermost stride of 2-byte elements must be 1"),
    ],
)
def test_bf16_runs_and_strides_are_whole_words(sizes, strides, message):
    with pytest.raises(ValueError, match=message):
        in_words(sizes, strides, element_bytes=2)


@pytest.mark.parametrize(
    ("drop", "value", "message"),
    [
        (0, 0, "^word 16: shim .* BD 0 is pushed, but not written and patched"),
        (1, 0, "^word 16: shim .* BD 0 is pushed, but not written and patched"),
        (None, 5 << 16, "has 2 iterations, but is repeated 6 times"),
    ],
)
def test_pushes_that_are_no_transfer_are_refused(drop, value, message):
    ops = operations(NPU1, TILED._replace(sizes=(2, 2, 32, 32)))
    ops[2] = Write(ops[2].address, value)
    if drop is not None:
        del ops[drop]
    with pytest.raises(ValueError, match=message):
        transfers_of(decode(encode(NPU1, ops))[1])


def test_chained_bd_is_no_transfer():
    ops = operations(NPU1, TILED)
    ops[0] = BlockWrite(ops[0].address, (*ops[0].data[:7], 0x06000000))
    with pytest.raises(ValueError, match="sets use_next, which no transfer has"):
        transfers_of(decode(encode(NPU1, ops))[1])


def test_d1_without_wrap_is_stepped_to_the_end():
    fields = unpack(operations(NPU1, TILED)[0].data) | {"d1_wrap": 0}
    assert pattern(fields) == ((1, 1, 64, 32), (0, 0, 64, 1))
