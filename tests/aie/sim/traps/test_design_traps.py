"""Wrong locks, programs and memory accesses trap where silicon would hang or fail.

Every case is a working design that is broken in one place, or a stream that breaks it.
"""

import re

import numpy as np
import pytest

from xdna.simulator import Trap
from xdna.stream.instructions import Sync, Write, tile_address

from .changes import (
    ACQUIRE,
    B_QUEUE,
    index_of,
    lock_index,
    replace,
    without_lock,
)


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
