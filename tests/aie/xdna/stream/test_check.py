"""Tasks in flight: queues, rewritten BDs, tokens, inputs and their outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdna.devices import DEVICES, device
from xdna.stream.check import check_stream
from xdna.stream.instructions import (
    DdrPatch,
    LoadPdi,
    MaskWrite,
    Preempt,
    Sync,
    Write,
    encode,
    tile_address,
)

from .good_stream import (
    ALL_C,
    ARGUMENT_BYTES,
    COLUMNS,
    FED_BY,
    NPU1,
    ab_of,
    c_of,
    check,
    flat,
    good,
    refused,
    transfer,
    without,
)


def test_good_stream_passes():
    check(good(), ARGUMENT_BYTES)


@pytest.mark.parametrize("name", DEVICES)
def test_random_legal_streams_pass(name, random_stream, rng):
    for _ in range(5):
        check_stream(random_stream(name, rng), device(name))


def test_sample_passes(sample_words):
    check_stream(sample_words, device("npu1_1col"), 2, [1024, 1024])


def test_stream_is_for_its_device_alone():
    with pytest.raises(
        ValueError, match=r"^word 0: the stream is for npu1_2col, not npu2"
    ):
        check_stream(encode(NPU1, []), device("npu2"))


def test_a_fifth_task_in_a_queue_is_refused():
    ops = flat([transfer(0, "MM2S", 1, bd_id) for bd_id in range(5)])
    check(ops[:-3])
    refused(ops, r"shim \(0, 0\) MM2S 1 BD 4 overflows its queue of 4: word .* BD 0")


def test_bd_rewritten_before_its_sync_is_refused():
    refused(
        without(good(), Sync), r"shim \(0, 0\) BD 2 is rewritten, but word .* MM2S 0"
    )
    ops = flat(c_of(0), c_of(0))
    refused(ops, r"shim \(0, 0\) BD 0 is rewritten, but word .* S2MM 0")


def test_one_word_of_a_bd_in_flight_is_a_rewrite_too():
    bd = tile_address(1, 0, 0x1D000)
    for change in Write(bd + 20, 0), MaskWrite(bd + 12, 0, 1), DdrPatch(bd + 4, 0, 0):
        ops = [*flat(c_of(0)), change, ALL_C]
        refused(ops, r"shim \(1, 0\) BD 0 is rewritten")


def test_inputs_are_done_only_by_what_they_feed():
    refused(good(), r"shim \(0, 0\) BD 2 is rewritten", fed_by=None)
    only_b = {(column, 0): [(column, 1)] for column in COLUMNS}
    refused(good(), r"shim \(0, 0\) BD 2 is rewritten, but .* MM2S 0", fed_by=only_b)


def test_inputs_pushed_ahead_are_not_done_with_the_first_output():
    start = flat(ab_of(0), ab_of(1), c_of(0), c_of(1))
    again = flat([transfer(0, "MM2S", 0, 3)])
    refused([*start, ALL_C, *again, ALL_C], r"shim \(0, 0\) BD 3 is rewritten")
    end = [ALL_C, *flat(ab_of(2), c_of(2)), ALL_C, ALL_C]
    check([*start, *end])


def test_output_in_two_parts_frees_its_input_with_the_second():
    a = transfer(0, "MM2S", 0, 8)
    c = [transfer(0, "S2MM", 0, bd_id, token=True) for bd_id in range(4)]
    sync, fed_by = Sync(0, 0, "S2MM", 0), {(0, 0): [(0, 0)]}
    good = [*flat([a, c[0], c[1]]), sync, sync, *flat([a, c[2], c[3]]), sync, sync]
    check(good, fed_by=fed_by)
    early = [*flat([a, c[0], c[1]]), sync, *flat([a, c[2], c[3]]), sync, sync, sync]
    refused(early, r"shim \(0, 0\) BD 8 is rewritten", fed_by=fed_by)


def test_sync_for_more_tokens_than_asked_is_refused():
    refused([*good(), ALL_C], r"no task of shim \(0, 0\) S2MM 0 sends the token")
    refused([Sync(0, 0, "MM2S", 0), *good()], r"no task of shim \(0, 0\) MM2S 0 sends")


def test_wide_sync_needs_a_token_of_every_column():
    ops = flat(c_of(0)[:1])
    refused([*ops, ALL_C], r"no task of shim \(1, 0\) S2MM 0 sends the token")


def test_output_never_synced_is_refused():
    refused(good()[:-1], r"shim \(0, 0\) S2MM 0 BD 0 is never synced")
    silent = flat([transfer(0, "S2MM", 1, 9)])
    refused(good() + silent, r"shim \(0, 0\) S2MM 1 BD 9 is never synced")


def test_token_never_awaited_is_refused():
    ops = flat([transfer(0, "MM2S", 1, 9, token=True)])
    check([*ops, Sync(0, 0, "MM2S", 1)])
    refused(ops, r"shim \(0, 0\) MM2S 1 BD 9 sends a token that is never awaited")


def test_reconfiguration_waits_for_all_tasks():
    pdi = LoadPdi(1, 64, 0)
    check([pdi, Preempt(1), *flat(c_of(0)), ALL_C, pdi])
    refused([*flat(c_of(0)), pdi, ALL_C], "LOADPDI, but word .* may be in flight")
    push = Write(0x1D204, 0)
    refused(
        [*flat(c_of(0)), ALL_C, pdi, push], ".* BD 0 is pushed, but was never written"
    )


@given(st.integers(0, 10_000), st.integers(0, 31))
def test_any_bit_flipped_passes_or_is_refused_in_one_line(index, bit):
    words = encode(NPU1, good())
    words[index % len(words)] ^= np.uint32(1 << bit)
    message = "word"
    try:
        check_stream(words, NPU1, 3, ARGUMENT_BYTES, FED_BY)
    except ValueError as error:
        message = str(error)
    assert message.startswith("word")
    assert "\n" not in message
