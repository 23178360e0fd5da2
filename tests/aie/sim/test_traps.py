"""A mistake that makes silicon hang or compute garbage is a trap, which locates it.

Every case is a working design or stream that is broken in one place.
"""

import re

import numpy as np
import pytest

from xdna.simulator.virtual_npu import Trap, VirtualNpu
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    LoadPdi,
    MaskWrite,
    Sync,
    Write,
    decode,
    encode,
    tile_address,
)

A_QUEUE, B_QUEUE, C_QUEUE = 0x1D214, 0x1D21C, 0x1D204  # of column 0
ACQUIRE = 9  # of a configuration's bd lines
GO = tile_address(0, 2, 0x1F060)


@pytest.fixture
def gemm(make_gemm):
    """Six steps of one k step each on npu1."""
    return make_gemm("npu1", (3, 140, 8, 70))


@pytest.fixture
def stream(gemm):
    """The GEMM's operations, to be changed."""
    return [operation for _, operation in decode(gemm.words)[1]]


@pytest.fixture
def trap(gemm, rng):
    """A function that runs a changed stream, design or buffers: the trap's text."""

    def message(operations=None, configuration=None, words=None, change=None):
        npu = VirtualNpu(configuration or gemm.configuration)
        if operations is not None:
            words = encode(gemm.array.device, operations)
        buffers = gemm.buffers(*gemm.small_integers(rng))
        if change is not None:
            buffers = change(buffers)
        with pytest.raises(Trap) as error:
            npu.run(gemm.words if words is None else words, buffers)
        assert "\n" not in str(error.value)
        return str(error.value)

    return message


def index_of(stream, kind, count=0, **fields):
    """The index of the count-th operation of a kind with those fields."""
    found = [
        i
        for i, operation in enumerate(stream)
        if isinstance(operation, kind)
        and all(getattr(operation, name) == value for name, value in fields.items())
    ]
    return found[count]


def change_bd(stream, word, value):
    """Another value of a word of BD 4 of column 0, B's of the first step."""
    at = index_of(stream, BlockWrite, address=0x1D080)
    data = list(stream[at].data)
    data[word] = value(data[word])
    stream[at] = stream[at]._replace(data=tuple(data))


def replace(text, old, new):
    """The text with its first line that matches `old` as `new` says."""
    changed, count = re.subn(f"(?m)^{old}$", new, text, count=1)
    assert count == 1
    return changed


def without_lock(text, tile, name, field):
    """The text whose BDs of a tile do not acquire, or release, that lock."""
    lock = str(lock_index(text, name))
    lines = [line.split() for line in text.splitlines()]
    for words in lines:
        if words[0] == "bd" and words[1:3] == tile.split() and words[field] == lock:
            words[field : field + 2] = ["-1", "0"]
    return "\n".join(map(" ".join, lines))


def lock_index(text, name):
    names = [line.split()[-1] for line in text.splitlines() if line.startswith("lock ")]
    return names.index(name)


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


@pytest.mark.parametrize(
    ("tile", "bytes"), [("0 1", 512 * 1024), ("0 2", 64 * 1024)], ids=["L2", "L1"]
)
def test_bd_past_the_memory(trap, gemm, tile, bytes):
    text = replace(
        gemm.configuration,
        rf"bd {tile} 0 {tile} \d+ (.*)",
        rf"bd {tile} 0 {tile} {bytes - 8} \1",
    )
    kind = "memtile" if tile == "0 1" else "core"
    assert f"{kind} ({tile.replace(' ', ', ')}) S2MM 0 BD 0 reaches from byte " in (
        message := trap(configuration=text)
    )
    assert f"which has {bytes}" in message


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
        (5, lambda word: word & 0xFFFFF, "must have an axcache of 2, got 0"),
        (7, lambda word: word & ~(1 << 25), "is pushed, but is not valid"),
        (7, lambda word: word | 1 << 26 | 9 << 27, "BD 9 is pushed, but was not"),
        (7, lambda word: word | 1 << 12, "acquires a lock by equality"),
    ],
    ids=[
        *("length", "remainder", "wrap", "burst", "axcache", "valid", "next"),
        "equality",
    ],
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
    assert "shim (0, 0) MM2S 0 is pushed 0x1000000, which is no task" in trap(stream)
    stream[at] = MaskWrite(A_QUEUE, 0, 0xF)
    assert "shim (0, 0) MM2S 0 is pushed 0x0, which is no task" in trap(stream)


def test_token_without_a_controller_id(trap, stream):
    del stream[index_of(stream, MaskWrite, address=C_QUEUE - 4)]
    assert "S2MM 0 BD 8 is asked for a token, but no controller id" in trap(stream)


def test_control_register_but_for_the_controller_id(trap, stream):
    at = index_of(stream, MaskWrite, address=C_QUEUE - 4)
    stream[at] = stream[at]._replace(mask=0x1F02)
    assert "of shim (0, 0) S2MM 0 control only the controller id may be set" in trap(
        stream
    )


def test_output_never_synced(trap, stream):
    at = index_of(stream, MaskWrite, -1, address=C_QUEUE - 4)
    push = stream[at + 1]
    stream[at + 1] = push._replace(value=push.value & 0x7FFFFFFF)
    last = index_of(stream, Sync, -1)
    stream[last] = Sync(1, 0, "S2MM", 0, num_columns=3)
    message = trap(stream)
    assert "the stream ends, but the output of shim (0, 0) S2MM 0 BD 9" in message
    assert re.search(r"pushed at word \d+, was never synced", message)


def test_token_never_awaited(trap, stream):
    at = index_of(stream, Write, 1, address=A_QUEUE)
    control = MaskWrite(A_QUEUE - 4, 0xF00, 0x1F00)
    stream[at : at + 1] = [control, stream[at]._replace(value=0x80020001)]
    message = trap(stream)
    assert "but a token of shim (0, 0) MM2S 0, pushed at word" in message
    assert "was never awaited" in message


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
        (Sync(0, 1, "S2MM", 0), "only shims send tokens"),
    ):
        stream[at] = sync
        assert what in trap(stream)


def test_lock_set_too_high(trap, stream):
    at = index_of(stream, Write, address=GO)
    stream[at] = Write(GO, 64)
    assert "lock 6 of core (0, 2) 'go_0_0' is set to 64" in trap(stream)


def test_lock_overflow_and_underflow(trap, gemm):
    lock = lock_index(gemm.configuration, "core_0_0_a_free")
    for value in 63, -3:
        text = replace(
            gemm.configuration, f"release {lock} 1", f"release {lock} {value}"
        )
        message = trap(configuration=text)
        assert "core (0, 2) releases lock 0 of core (0, 2) 'core_0_0_a_free'" in message
        assert re.search(r"brings it to -?\d+: a lock holds 0 to 63", message)


def test_read_of_what_nothing_wrote(trap, gemm, stream):
    zero = next(
        line for line in gemm.configuration.splitlines() if line.startswith("call 0 ")
    )
    text = replace(gemm.configuration, zero, "move 0 0")
    message = trap(configuration=text)
    assert "calls matmul_bf16_f32, which reads byte 0 of buffer c_" in message
    text = without_lock(gemm.configuration, "0 1", "l2_0_b_full", ACQUIRE)
    message = trap(configuration=text)
    assert re.match(r"memtile \(0, 1\) MM2S 1 BD \d+ reads byte \d+ of mem", message)
    parameter = next(
        i
        for i, operation in enumerate(stream)
        if isinstance(operation, Write) and operation.address >> 20 == 2
    )
    del stream[parameter]
    message = trap(stream)
    assert "core (0, 2) reads byte 0 of buffer parameters_0_0, which nothing" in message


def test_race_of_a_kernel_with_dma(trap, gemm):
    text = gemm.configuration.replace(
        "param time.kernel_call 20", "param time.kernel_call 20000"
    )
    text = without_lock(text, "0 2", "core_0_0_a_free", ACQUIRE)
    message = trap(configuration=text)
    assert "while core (0, 2) S2MM 0 writes it" in message or re.match(
        r"core \(0, 2\) S2MM 0 BD \d writes bytes \d+ to \d+ of core \(0, 2\) while "
        r"core \(0, 2\) reads there",
        message,
    )


def test_race_of_the_stream_with_a_kernel(trap, gemm, stream):
    text = gemm.configuration.replace(
        "param time.kernel_call 20", "param time.kernel_call 30000"
    )
    address = re.search(r"(?m)^buffer 0 2 (\d+) \d+ a_0_0_0$", text)[1]
    stream[index_of(stream, Sync) :] = [
        Write(tile_address(0, 2, int(address)), 1)
    ] * 1000
    message = trap(stream, text)
    assert re.search(r"writes byte \d+ of core \(0, 2\) while core \(0, 2\) ", message)


@pytest.mark.parametrize(
    ("operation", "what"),
    [
        (Write(0x1D210, 0), "of shim (0, 0) MM2S 0 control only the controller id"),
        (Write(0x1E000, 0), "register 0x1e000 of shim (0, 0) cannot be written"),
        (Write(0x14008, 1), "register 0x14008 of shim (0, 0) cannot be written"),
        (Write(1 << 20 | 0xA0000, 0), "register 0xa0000 of memtile (0, 1) cannot"),
        (Write(2 << 20 | 0x1D000, 0), "register 0x1d000 of core (0, 2) cannot"),
        (Write(2 << 20 | 0x32000, 1), "register 0x32000 of core (0, 2) cannot"),
        (Write(2 << 20 | 2, 0), "address 0x200002 is no multiple of 4"),
        (Write(4 << 25, 0), "of tile (4, 0), which npu1 does not have"),
        (Write(6 << 20, 0), "of tile (0, 6), which npu1 does not have"),
        (DdrPatch(0x1D008, 0, 0), "DDR_PATCH must go to word 1 of a shim's BD"),
        (LoadPdi(1, 4, 0), "LOADPDI: the virtual NPU takes its configuration"),
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


def test_deadlock_tells_who_waits_for_whom(trap, gemm, stream):
    lock = lock_index(gemm.configuration, "core_1_0_a_free")
    text = re.sub(rf"(?m)^release {lock} 1$", "move 0 0", gemm.configuration)
    message = trap(configuration=text)
    assert message.startswith("deadlock: the controller waits at word ")
    assert "waits for lock 0 of core (1, 2) 'core_1_0_a_free' >= 1 (it is 0)" in message
    assert " again (cycle " in message
    del stream[index_of(stream, Write, address=B_QUEUE)]
    message = trap(stream)
    assert message.startswith("deadlock: the controller waits at word ")
    assert "shim (0, 0) MM2S 1 waits for a task, for controller again" in message


def test_token_of_a_channel_that_no_route_has(trap, stream):
    stream.append(Sync(0, 0, "S2MM", 1))
    message = trap(stream)
    assert "for a token, for shim (0, 0) S2MM 1 waits for a task" in message


def test_core_that_spins(trap, gemm):
    lines = gemm.configuration.splitlines()
    first = lines.index(next(line for line in lines if line.startswith("acquire ")))
    core = max(i for i in range(first) if lines[i].startswith("core "))
    lines[first] = f"jump {first - core - 1}"
    message = trap(configuration="\n".join(lines))
    assert re.match(r"no progress: core \(0, 2\) has executed \d+ instr", message)
    # Around memory accesses, which others might change.
    lines = gemm.configuration.splitlines()
    load = lines.index(next(line for line in lines if line.startswith("load ")))
    lines[load + 1] = f"jump {load - core - 1}"
    message = trap(configuration="\n".join(lines))
    assert message.startswith("no progress: the controller waits at word ")


def test_run_that_takes_too_long(trap, gemm):
    text = gemm.configuration.replace(
        "param time.kernel_call 20", "param time.kernel_call 500000000"
    )
    assert "the run takes more than 2.0" in trap(configuration=text)


def test_division_by_zero(trap, gemm):
    lines = gemm.configuration.splitlines()
    load = next(i for i, line in enumerate(lines) if line.startswith("load "))
    lines[load + 1 : load + 3] = "const 0 0", "binary divs 64 0 0 0"
    message = trap(configuration="\n".join(lines))
    assert re.match(r"core \(0, 2\) instruction \d+ divides by zero", message)


def test_only_a_reset_helps_after_a_trap(gemm, rng):
    npu, operands = gemm.npu(), gemm.small_integers(rng)
    good, expected = (
        gemm.buffers(*operands),
        np.matmul(*(x.astype("f4") for x in operands)),
    )
    short = gemm.buffers(*operands)[:2]
    for _ in range(2):
        with pytest.raises(Trap, match="argument 2"):
            npu.run(gemm.words, short)
        with pytest.raises(Trap, match="in an unknown state since its last trap"):
            npu.run(gemm.words, good)
        npu.reset()
        report = npu.run(gemm.words, good)
        np.testing.assert_array_equal(good[2], expected)
        assert npu.run(gemm.words, good).macs == report.macs


def test_run_with_too_many_buffers_changes_nothing(gemm, rng):
    npu, buffers = gemm.npu(), gemm.buffers(*gemm.small_integers(rng))
    with pytest.raises(Trap, match="at most 5 buffers, got 6"):
        npu.run(gemm.words, 2 * buffers)
    npu.run(gemm.words, buffers)
