"""Operations that break a rule by themselves: registers, BDs, patches, extents."""

import pytest

from xdna.devices import device
from xdna.stream.check import check_stream
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    MaskWrite,
    Sync,
    Write,
    encode,
    tile_address,
)

from .good_stream import (
    ALL_C,
    NUM_STEPS,
    ROW_WORDS,
    c_of,
    check,
    flat,
    good,
    refused,
    transfer,
    without,
)


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
    refused(
        [*good(), Write(0x1D214, 1 << 8)],
        r"shim \(0, 0\) MM2S 0 is pushed 0x100, which is not a task",
    )
