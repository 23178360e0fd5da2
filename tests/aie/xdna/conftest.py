"""Instruction streams to test with, and AMD's aiebu-asm as a second opinion."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from xdna.devices import device
from xdna.stream.decoding import decode
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    MaskWrite,
    Sync,
    Write,
    encode,
)
from xdna.stream.shim_bd import ShimTransfer, operations

DATA = Path(__file__).parent / "data"


@pytest.fixture
def sample_words():
    """The words that aie-translate 1.3 makes from sample.mlir."""
    text = (DATA / "sample.insts.hex").read_text()
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.fixture
def random_stream():
    """A function of device and generator: a random stream within the rules."""
    return _random_stream


@pytest.fixture
def run_aiebu(xrt_tree, tmp_path):
    """A function of words: the result of aiebu-asm and the ELF file that it writes."""

    def run(words):
        stream, elf = tmp_path / "insts.bin", tmp_path / "insts.elf"
        elf.unlink(missing_ok=True)
        np.asarray(words, "<u4").tofile(stream)
        command = [
            xrt_tree / "run",
            "aiebu-asm",
            "-t",
            "aie2txn",
            "-c",
            stream,
            "-o",
            elf,
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60), elf

    return run


@pytest.fixture
def assert_aiebu_accepts(run_aiebu, xrt_tree):
    """A function of words that fails unless AMD's tools take and read them as we do.

    It cannot check LOADPDI, for which aiebu-asm needs the PDI, nor PREEMPT.
    """

    def check(words):
        result, elf = run_aiebu(words)
        assert result.returncode == 0, result.stdout + result.stderr
        assert np.asarray(words, "<u4").tobytes() in elf.read_bytes()
        command = [xrt_tree / "run", "aiebu-dump", "-d", elf]
        dump = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        theirs = [
            line.split(None, 1) for line in re.findall("^XAIE_IO_(.*)$", dump, re.M)
        ]
        ours = [
            line for _, operation in decode(words)[1] for line in _as_aiebu(operation)
        ]
        assert theirs == ours

    return check


def _as_aiebu(operation):
    match operation:
        case Write(address, value):
            return [["WRITE", f"@{address:#x}, {value:#x}"]]
        case MaskWrite(address, value, mask):
            return [["MASKWRITE", f"@{address:#x}, {mask:#x}(), {value:#x}"]]
        case BlockWrite(address, data):
            words = [[f"BLOCKWRITE.{i}", f"{word:#x}"] for i, word in enumerate(data)]
            return [["BLOCKWRITE", f"@{address:#x}, [{len(data)}]"], *words]
        case DdrPatch(address, argument, offset):
            text = f"@{address:#x}, #{argument}, +{offset:#x}"
            return [["CUSTOM_OP_DDR_PATCH", text]]
        case Sync(column, row, direction, channel, num_columns, num_rows):
            tiles = f"R[{row}]+{num_rows}, C[{column}]+{num_columns}"
            return [["CUSTOM_OP_TCT", f"{tiles}, #DMA_{direction}, {channel}"]]
    raise ValueError(f"aiebu-dump does not show {operation} as an operation")


def _random_stream(name, rng):
    npu = device(name)
    stream = []
    for step in range(rng.integers(1, 6)):
        columns = range(npu.num_columns)
        for column in columns:
            for direction, bd_id in ("S2MM", step % 2), ("MM2S", 2 + step):
                transfer = _random_transfer(rng, column, direction, bd_id)
                stream += operations(npu, transfer)
        core, lock = 2 << 20, 2 << 20 | 0x1F000
        stream += [Write(core + 4 * step, int(rng.integers(1 << 32))), Write(lock, 1)]
        stream.append(Sync(0, 0, "S2MM", 0, npu.num_columns))
        stream.append(Sync(0, 0, "MM2S", 0, npu.num_columns))
    return encode(npu, stream)


def _random_transfer(rng, column, direction, bd_id):
    sizes = [int(n) for n in rng.integers(1, (65, 1 << 12, 1024, 1024))]
    strides = [int(n) for n in rng.integers(1, (1 << 20, 1 << 20, 1 << 20, 3))]
    return ShimTransfer(
        column=column,
        direction=direction,
        channel=0,
        bd_id=bd_id,
        argument=int(rng.integers(3)),
        offset_bytes=4 * int(rng.integers(1 << 30)),
        sizes=tuple(sizes),
        strides=tuple(strides),
        token=True,
    )
