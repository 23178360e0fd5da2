"""A wrong stream traps where silicon would hang or compute garbage.

Every case is a working stream that is broken in one place, or buffers that do not fit.
"""

import re

import pytest

from xdna.simulator import Trap
from xdna.stream.decoding import decode
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    LoadPdi,
    MaskWrite,
    Sync,
    Write,
    encode,
)

from .changes import (
    A_QUEUE,
    B_QUEUE,
    C_QUEUE,
    GO,
    change_bd,
    index_of,
    replace,
)


@pytest.mark.parametrize("argument", range(3))
def test_buffer_too_small(trap, argument):
    def shorten(buffers):
        buffers[argument] = buffers[argument].reshape(-1)[:-2].copy()
        return buffers

    message = trap(change=shorten)
    assert re.match(r"shim \(\d, 0\) (MM2S|S2MM) \d BD \d+ reaches from byte", message)
    assert f"of argument {argument}, which has" in message
    assert re.search(r"pushed at word \d+", message)


def test_too_few_and_too_many_buffers(trap):
    message = trap(change=lambda buffers: buffers[:2])
    assert "is patched with argument 2, the run has 2" in message
    message = trap(change=lambda buffers: 2 * buffers)
    assert message == "a run takes at most 5 buffers, got 6"


def test_misaligned_address(trap, stream, gemm):
    at = index_of(stream, DdrPatch, address=0x1D004)
    stream[at] = stream[at]._replace(offset_bytes=2)
    assert "shim (0, 0) MM2S 0 BD 0 begins at byte 2" in trap(stream)
    text = replace(gemm.configuration, r"bd 0 1 0 0 1 0 (.*)", r"bd 0 1 0 0 1 6 \1")
    assert "memtile (0, 1) S2MM 0 BD 0 begins at byte 6" in trap(configuration=text)


@pytest.mark.parametrize(
    ("word", "value", "what"),
    [
        (0, lambda _: 0, "has no length"),
        (0, lambda length: length + 1, "ends within a run"),
        (3, lambda word: word & 0xFFFFF, "wraps D1, but not D0"),
        (4, lambda word: word | 3 << 30, "has a burst code of 3, npu1 has 0 to 2"),
        (7, lambda word: word & ~(1 << 25), "is pushed, but is not valid"),
        (7, lambda word: word | 1 << 26 | 9 << 27, "BD 9 is pushed, but was not"),
    ],
    ids=["length", "remainder", "wrap", "burst", "valid", "next"],
)
def test_bd_that_the_hardware_cannot_hold(trap, stream, gemm, word, value, what):
    change_bd(stream, word, value)
    push = index_of(stream, Write, address=B_QUEUE)
    message = trap(stream)
    assert message.startswith(f"word {decode(gemm.words)[1][push].word}: ")
    assert "shim (0, 0) MM2S 1 BD " in message
    assert what in message


def test_bd_that_was_not_written_or_patched(trap, stream):
    written = stream.copy()
    del written[index_of(stream, BlockWrite, address=0x1D000)]
    assert "BD 0 is pushed, but was not written whole" in trap(written)
    del stream[index_of(stream, DdrPatch, address=0x1D004)]
    assert "BD 0 is pushed, but its address was never patched" in trap(stream)


def test_address_of_an_earlier_run_is_not_taken(gemm, stream, rng):
    npu = gemm.npu()
    npu.run(gemm.words, gemm.buffers(*gemm.small_integers(rng)))
    stream = [
        operation
        for operation in stream
        if getattr(operation, "address", 0) not in (0x1D000, 0x1D004)
    ]
    with pytest.raises(Trap, match=r"BD 0 is pushed, but its address was never"):
        npu.run(
            encode(gemm.array.device, stream),
            gemm.buffers(*gemm.small_integers(rng)),
        )


def test_queue_overflow(trap, stream):
    push = stream[index_of(stream, Write, address=B_QUEUE)]
    at = index_of(stream, Sync)
    stream[at:at] = [push] * 12
    message = trap(stream)
    assert "shim (0, 0) MM2S 1 BD 4 overflows the queue of 4 tasks" in message
    assert re.search(r"the oldest of which is BD \d+ of word \d+", message)


def test_bd_rewritten_in_flight(trap, stream):
    bd = stream[index_of(stream, BlockWrite, address=0x1D100)]
    at = index_of(stream, Write, address=C_QUEUE)
    rewritten = [*stream[: at + 1], bd, *stream[at + 1 :]]
    message = trap(rewritten)
    assert re.match(r"word \d+: shim \(0, 0\) BD 8 is rewritten while ", message)
    assert "shim (0, 0) S2MM 0 still uses it" in message
    patch = stream[index_of(stream, DdrPatch, address=0x1D104)]
    patched = [*stream[: at + 1], patch, *stream[at + 1 :]]
    assert "shim (0, 0) BD 8 is rewritten while" in trap(patched)


def test_task_that_is_none(trap, stream):
    at = index_of(stream, Write, address=A_QUEUE)
    stream[at] = stream[at]._replace(value=1 << 24)
    assert "shim (0, 0) MM2S 0 is pushed 0x1000000, which is not a task" in trap(stream)
    stream[at] = MaskWrite(A_QUEUE, 0, 0xF)
    assert "shim (0, 0) MM2S 0 is pushed 0x0, which is not a task" in trap(stream)


def test_token_without_a_controller_id(trap, stream):
    # It may come after the push, but not after the task.
    stream = [
        operation
        for operation in stream
        if getattr(operation, "address", 0) != C_QUEUE - 4
    ]
    assert "S2MM 0 BD 8, pushed at word" in trap(stream)
    assert "is asked for a token, but no controller id" in trap(stream)


def test_control_register_but_for_the_controller_id(trap, stream):
    at = index_of(stream, MaskWrite, address=C_QUEUE - 4)
    stream[at] = stream[at]._replace(mask=0x1F02, value=0xF02)
    assert "of shim (0, 0) S2MM 0 control only the controller id may be set" in trap(
        stream
    )


def test_transfer_in_flight_at_the_end(trap, stream):
    at = index_of(stream, Write, 1, address=A_QUEUE)
    stream.append(stream[at])
    message = trap(stream)
    assert "the stream ends, but shim (0, 0) MM2S 0 BD 1, pushed at word" in message
    assert "is still in flight" in message


def test_sync_of_what_is_not_there(trap, stream):
    at = index_of(stream, Sync)
    for sync, what in (
        (Sync(0, 0, "S2MM", 0, num_columns=5), "that npu1 does not have"),
        (Sync(0, 0, "S2MM", 2), "that npu1 does not have"),
        (Sync(0, 0, "S2MM", 0, num_columns=0), "that npu1 does not have"),
        (Sync(0, 1, "S2MM", 6), "that npu1 does not have"),
        (Sync(0, 1, "S2MM", 2, num_rows=2), "that npu1 does not have"),
    ):
        stream[at] = sync
        assert what in trap(stream)


def test_lock_set_too_high(trap, stream):
    at = index_of(stream, Write, address=GO)
    stream[at] = Write(GO, 64)
    assert "lock 6 of core (0, 2) 'go_0_0' is set to 64" in trap(stream)


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (Write(0x1D210, 1), "of shim (0, 0) MM2S 0 control only the controller id"),
        (Write(0x1E000, 0), "register 0x1e000 of shim (0, 0) cannot be written"),
        (Write(0x14008, 1), "register 0x14008 of shim (0, 0) cannot be written"),
        (Write(1 << 20 | 0xA0600, 2), "memtile (0, 1) S2MM 0 control only the"),
        (Write(2 << 20 | 0x1D018, 0), "register 0x1d018 of core (0, 2) cannot"),
        (Write(2 << 20 | 0x32000, 1), "register 0x32000 of core (0, 2) cannot"),
        (Write(2 << 20 | 2, 0), "address 0x200002 is not a multiple of 4"),
        (Write(4 << 25, 0), "of tile (4, 0), which npu1 does not have"),
        (Write(6 << 20, 0), "of tile (0, 6), which npu1 does not have"),
        (DdrPatch(0x1D008, 0, 0), "DDR_PATCH must go to word 1 of a shim's BD"),
        (LoadPdi(1, 4, 0), "LOADPDI of PDI 1: no design was given for it"),
    ],
)
def test_operation_that_a_stream_must_not_have(trap, stream, operation, what):
    message = trap([operation, *stream])
    assert message.startswith("word 4: ")
    assert what in message


@pytest.mark.parametrize(
    ("word", "value", "what"),
    [
        (0, 0x06040100, "generation 4 with 4 columns and 6 rows, not for npu1"),
        (0, 0x05030100, "generation 3 with 4 columns and 5 rows, not for npu1"),
        (0, 0x06030200, "word 0: version must be 0.1, got 0x200"),
        (1, 0x00000108, "generation 3 with 8 columns and 6 rows, not for npu1"),
        (2, 7, "the header counts 7 operations, the stream has"),
        (3, 8, "word 3: the header counts 8 bytes, the stream has"),
        (4, 0x77, "word 4: opcode 0x77 is not known"),
        (7, 17, "word 4: BLOCKWRITE counts 17 bytes"),
        (7, 0x10000000, "words ends within an operation"),
    ],
)
def test_word_that_is_wrong(trap, gemm, word, value, what):
    words = gemm.words.copy()
    words[word] = value
    assert what in trap(words=words)


def test_truncated_stream(trap, gemm):
    for count in 0, 3, 5, 100, len(gemm.words) - 1:
        words = gemm.words[:count].copy()
        if count > 3:
            words[3] = 4 * count
        assert f"the stream of {count} words ends within an operation" in trap(
            words=words
        )
