import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdna.devices import DEVICES, device
from xdna.stream.check import check_stream
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    LoadPdi,
    MaskWrite,
    Preempt,
    Sync,
    Write,
    encode,
    tile_address,
)
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
    """ops less one operation of that kind."""
    places = [i for i, op in enumerate(ops) if isinstance(op, kind)]
    del ops[places[index]]
    return ops


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


def test_bd_never_written_is_refused():
    refused(without(good(), BlockWrite), ".* BD 2 is pushed, but was never written")
    ops = good()
    ops[0] = BlockWrite(ops[0].address, ops[0].data[:7])
    refused(ops, ".* BD 2 is pushed, but was never written")


def test_bd_never_patched_is_refused():
    message = r"shim \(0, 0\) MM2S 0 BD 2 is pushed, but its address was never patched"
    refused(without(good(), DdrPatch), message)
    ops = good()
    ops[1:1] = [ops.pop(1), Write(ops[0].address + 8, 0)]
    refused(ops, message)


def test_bd_without_valid_bit_or_length_is_refused():
    for index in 0, 7:
        ops = good()
        data = list(ops[0].data)
        data[index] = 0
        ops[0] = BlockWrite(ops[0].address, tuple(data))
        refused(ops, ".* BD 2 is pushed, but is not valid or has no length")


@pytest.mark.parametrize(
    ("index", "bits", "message"),
    [
        (7, 1 << 12, "sets lock_acquire_enable, which no transfer has"),
        (7, 1 << 18, "sets lock_release_value"),
        (7, 1 << 26 | 3 << 27, "sets use_next"),
        (2, 1 << 30, "sets packet_enable"),
        (6, 1 << 26, "sets iteration_current"),
        (4, 1 << 30, "must have a burst code of 0-2, got 3"),
        (5, 1 << 24, "must have an axcache of 2, got 3"),
        (0, 1, r"ends within a run: 33 words, sizes=\(2, 2, 4, 8\)"),
        (3, 8 << 20, "wraps D1 at 4, but D0 nowhere"),
        (6, 2 << 20, "has 4 iterations, but is repeated 2 times"),
    ],
)
def test_bd_that_cannot_complete_is_refused(index, bits, message):
    ops = good()
    bd, patch = ops[:2]
    data = list(bd.data)
    data[index] ^= bits
    ops[:2] = [BlockWrite(bd.address, tuple(data)), patch]
    if index == 2:  # the patch wrote it, as far as the check knows
        ops[2:2] = [MaskWrite(bd.address + 8, bits, bits), patch]
    refused(ops, rf"shim \(0, 0\) MM2S 0 BD 2 {message}")


def test_longest_burst_is_the_devices_own():
    ops = [*flat(c_of(0)), ALL_C]
    npu2 = device("npu2_2col")
    check_stream(encode(npu2, ops), npu2)
    bd = ops[0]
    burst = bd.data[4] | 3 << 30
    ops[0] = BlockWrite(bd.address, (*bd.data[:4], burst, *bd.data[5:]))
    check_stream(encode(npu2, ops), npu2)
    refused(ops, r"shim \(0, 0\) S2MM 0 BD 0 must have a burst code of 0-2, got 3")


def test_iterating_bd_is_pushed_with_its_repeats():
    ops = flat([transfer(0, "MM2S", 1, 9)])
    check(ops)
    ops[-1] = Write(ops[-1].address, 9)
    refused(ops, ".* MM2S 1 BD 9 has 2 iterations, but is repeated 1 times")


@pytest.mark.parametrize("offset", [0x1D200, 0x1D208, 0x1D210, 0x1D218])
def test_control_takes_a_controller_id_alone(offset):
    check([*good(), MaskWrite(offset, 0xF00, 0x1F00)])
    message = r"of shim \(0, 0\) (S2MM|MM2S) [01] control only the controller id"
    refused([*good(), Write(offset, 0xF00)], message)
    refused([*good(), MaskWrite(offset, 0xF00, 0x1F02)], message)
    refused([*good(), MaskWrite(offset, 0x700, 0xF00)], message)


def test_sync_for_more_tokens_than_asked_is_refused():
    refused([*good(), ALL_C], r"no task of shim \(0, 0\) S2MM 0 sends the token")
    refused([Sync(0, 0, "MM2S", 0), *good()], r"no task of shim \(0, 0\) MM2S 0 sends")


def test_wide_sync_needs_a_token_of_every_column():
    ops = flat(c_of(0)[:1])
    refused([*ops, ALL_C], r"no task of shim \(1, 0\) S2MM 0 sends the token")


@pytest.mark.parametrize(
    ("sync", "message"),
    [
        (Sync(0, 1, "S2MM", 0), "only shims send tokens"),
        (Sync(0, 0, "S2MM", 0, 1, 2), "only shims send tokens"),
        (Sync(0, 0, "S2MM", 0, 0), "only shims send tokens"),
        (Sync(1, 0, "S2MM", 0, 2), r"npu1_2col has no shim \(2, 0\)"),
        (Sync(0, 0, "S2MM", 2), r"npu1_2col has no shim \(0, 0\) S2MM 2"),
    ],
)
def test_sync_of_no_shim_channel_is_refused(sync, message):
    refused([sync, *good()], message)


def test_output_never_synced_is_refused():
    refused(good()[:-1], r"shim \(0, 0\) S2MM 0 BD 0 is never synced")
    silent = flat([transfer(0, "S2MM", 1, 9)])
    refused(good() + silent, r"shim \(0, 0\) S2MM 1 BD 9 is never synced")


def test_token_never_awaited_is_refused():
    ops = flat([transfer(0, "MM2S", 1, 9, token=True)])
    check([*ops, Sync(0, 0, "MM2S", 1)])
    refused(ops, r"shim \(0, 0\) MM2S 1 BD 9 sends a token that is never awaited")


def test_token_without_controller_id_is_refused():
    refused(without(good(), MaskWrite), ".* S2MM 0 is asked for a token before")


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (DdrPatch(0x1D008, 0, 0), "a patch must go to word 1 of a shim BD, got"),
        (DdrPatch(0x1D204, 0, 0), "a patch must go to word 1"),
        (DdrPatch(tile_address(0, 1, 0xA0004), 0, 0), "a patch must go to word 1"),
        (DdrPatch(0x1D104, 3, 0), r"shim \(0, 0\) BD 8 is patched with argument 3"),
        (DdrPatch(0x1D104, 0, 6), r"shim \(0, 0\) BD 8 must start at a multiple of 4"),
        (DdrPatch(0x30000, 0, 0), r"shim \(0, 0\) address 0x30000"),
    ],
)
def test_patches_of_anything_else_are_refused(patch, message):
    refused([*good(), patch], message)


def test_transfers_stay_within_their_arguments():
    # The last word of the last step: (2 - 1) 500 + (4 - 1) 16 + 8.
    num_bytes = 4 * (ROW_WORDS * (NUM_STEPS - 1) + 500 + 48 + 8)
    check(good(), [num_bytes] * 3)
    for argument in range(3):
        sizes = [num_bytes] * 3
        sizes[argument] -= 4
        message = f".* reaches byte {num_bytes} of argument {argument}, which has"
        refused(good(), message, argument_bytes=sizes)


@pytest.mark.parametrize(
    ("column", "row", "offset", "message"),
    [
        (0, 1, 0xA0000, "memtile .* BD 0 word 0 cannot be written at run time"),
        (0, 1, 0xA0604, "memtile .* S2MM 0 queue cannot be written"),
        (0, 2, 0x1D000, "core .* BD 0 word 0 cannot be written"),
        (0, 2, 0x32000, "core .* address 0x32000 cannot be written"),
        (0, 2, 0x20000, "core .* address 0x20000 cannot be written"),
        (0, 2, 0x502, "core .* address 0x502 cannot be written"),
        (0, 1, 0x500, "memtile .* address 0x500 cannot be written"),
        (0, 0, 0x1D220, "shim .* address 0x1d220 cannot be written"),
        (0, 2, 0x1F044, "core .* address 0x1f044 cannot be written"),
        (2, 0, 0x1D000, "npu1_2col has columns 0-1 and rows 0-5, got tile"),
        (0, 6, 0x0, "npu1_2col has columns 0-1 and rows 0-5, got tile"),
    ],
)
def test_registers_out_of_bounds_are_refused(column, row, offset, message):
    refused([*good(), Write(tile_address(column, row, offset), 0)], message)


@pytest.mark.parametrize(
    ("row", "offset"), [(0, 0x140F0), (1, 0xC03F0), (2, 0x1F000), (5, 0x1F0F0)]
)
def test_locks_hold_0_to_63(row, offset):
    lock = tile_address(1, row, offset)
    check([*good(), Write(lock, 63)])
    refused([*good(), Write(lock, 64)], r".* lock [0-9]+ must be set to 0-63, got 64")
    refused([*good(), MaskWrite(lock, 1, 1)], ".* must be set to 0-63")


def test_push_of_no_task_is_refused():
    refused([*good(), Write(0x1D214, 1 << 8)], r"shim \(0, 0\) MM2S 0 is pushed 0x100")


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
