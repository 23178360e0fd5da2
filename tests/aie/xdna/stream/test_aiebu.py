"""AMD's own assembler, from Debian's XRT packages, reads streams as we mean them."""

import pytest

from xdna.devices import DEVICES, device
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

GOLDEN = [
    Write(tile_address(3, 4, 0xABC00DEF), 0x42),
    MaskWrite(tile_address(2, 3, 0x567A), 0x1001, 0xF00FF00F),
    Sync(3, 4, "MM2S", 5, 1, 2),
    BlockWrite(tile_address(1, 0, 0x1D000), (1, 0, 0, 4, 5, 6, 7, 8)),
    DdrPatch(tile_address(1, 0, 0x1D004), 4, 0xFFFFFFFC),
]


def test_sample_is_accepted(sample_words, assert_aiebu_accepts):
    assert_aiebu_accepts(sample_words)


@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_golden_operations_are_accepted(name, assert_aiebu_accepts):
    assert_aiebu_accepts(encode(device(name), GOLDEN))


@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_golden_transfers_are_accepted(name, assert_aiebu_accepts):
    i32 = ShimTransfer(0, "MM2S", 0, 0, 0, 16384, (1, 2, 32, 32), (4096, 2048, 64, 1))
    bf16 = ShimTransfer(2, "S2MM", 0, 0, 1, 0, (4, 4, 64, 32), (0, 32, 128, 1), True)
    npu = device(name)
    assert_aiebu_accepts(encode(npu, operations(npu, i32) + operations(npu, bf16)))


@pytest.mark.parametrize("name", DEVICES)
def test_random_legal_streams_are_accepted(
    name, random_stream, rng, assert_aiebu_accepts
):
    for _ in range(3):
        assert_aiebu_accepts(random_stream(name, rng))


def test_preempt_is_accepted(run_aiebu):
    result, _ = run_aiebu(encode(device("npu2"), [*GOLDEN, Preempt(1)]))
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        (GOLDEN[4:], "No block-write opcode present before the patch opcode"),
        ([LoadPdi(2, 64, 0)], "pdi for id .pdi.2 not present"),
    ],
)
def test_a_broken_stream_is_refused(ops, message, run_aiebu):
    result, elf = run_aiebu(encode(device("npu1"), ops))
    assert result.returncode
    assert message in result.stdout + result.stderr
    assert not elf.exists()


@pytest.mark.parametrize(("word", "value"), [(4, 99), (7, 52)])
def test_an_unknown_opcode_or_size_is_refused(word, value, sample_words, run_aiebu):
    sample_words[word] = value
    result, _ = run_aiebu(sample_words)
    assert result.returncode
    assert "Invalid txn opcode" in result.stdout + result.stderr
