"""The metadata of a built design: their content, and the designs that are refused."""

import json
import re

import numpy as np
import pytest

from xdna.gemm.array import GemmArray
from xdna.gemm.artifact import (
    check_artifact,
    check_placement,
    describe,
    design_text,
    read_artifact,
    write_artifact,
    written_addresses,
)
from xdna.gemm.stream import run_words
from xdna.gemm.tiling import make_plan

TILE = (64, 64, 32)
ARRAY = GemmArray("npu1", *TILE)
TILED = GemmArray("npu1", 64, 64, 64, images="tiles", parts=2, resident="a")
VERSIONS = {"jax-npu": "0.1.0", "mlir-aie": "1.3.4", "peano": "clang version 21"}


@pytest.fixture
def folder(tmp_path, rng):
    """A built design of ARRAY."""
    xclbin = rng.bytes(1000)
    (tmp_path / "gemm.xclbin").write_bytes(xclbin)
    write_artifact(tmp_path, describe(ARRAY, xclbin, VERSIONS))
    return tmp_path


def change(folder, **values):
    path = folder / "design.json"
    record = json.loads(path.read_text())
    for name, value in values.items():
        assert name in record
        record[name] = value
    path.write_text(json.dumps(record))


def refusal(folder, array=ARRAY):
    with pytest.raises(ValueError) as raised:  # noqa: PT011, the caller looks at it
        check_artifact(folder, array)
    text = str(raised.value)
    assert "\n" not in text
    assert text.endswith(f"; run: jax-npu build --device {array.device_name}")
    return text


def test_metadata_come_back_as_written(folder):
    xclbin = (folder / "gemm.xclbin").read_bytes()
    assert read_artifact(folder, "npu1") == describe(ARRAY, xclbin, VERSIONS)
    assert check_artifact(folder, ARRAY) == folder / "gemm.xclbin"


@pytest.mark.parametrize("device", ["npu1", "npu2"])
@pytest.mark.parametrize("tile", [TILE, (32, 32, 16)])
def test_addresses_are_those_of_the_buffers_and_locks_in_the_design(device, tile):
    array = GemmArray(device, *tile)
    text = design_text(array)
    buffers = re.findall(
        r"aie.buffer\(%tile_(\d+)_(\d+)\) \{address = (\d+).*\"parameters_", text
    )
    locks = re.findall(r"aie.lock\(%tile_(\d+)_(\d+), (\d+)\).*\"go_", text)
    assert len(buffers) == len(locks) == 4 * array.num_columns
    expected = []
    for column, row, address in buffers:
        base = int(column) << 25 | int(row) << 20 | int(address)
        expected += [base, base + 4]
    for column, row, lock in locks:
        expected.append(int(column) << 25 | int(row) << 20 | 0x1F000 + 16 * int(lock))
    assert written_addresses(array) == tuple(sorted(expected))


@pytest.mark.parametrize("array", [ARRAY, TILED], ids=["rows", "tiles"])
def test_every_stream_writes_the_same_addresses(array, gpt2_shape):
    plan = make_plan(array, 1, *gpt2_shape)
    for run in plan.runs:
        words = run_words(plan, run).tolist()
        # A WRITE is 0, 0, address, 0, value, 24.
        starts = [
            i for i in range(4, len(words) - 5) if words[i : i + 2] == [0, 0]
            and words[i + 3] == 0 and words[i + 5] == 24
        ]  # fmt: skip
        written = {words[i + 2] for i in starts}
        in_cores = {address for address in written if address >> 20 & 0x1F >= 2}
        assert in_cores == set(written_addresses(array))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": 3}, "design.json has format 3, this version of jax-npu reads 4"),
        ({"device": "npu2"}, "is a design for npu2, not for npu1"),
        ({"generation": 4}, "is for NPUs of generation 4, not 3"),
        ({"tile": [64, 64, 64]}, r"has tile \(64, 64, 64\), .* \(64, 64, 32\)"),
        ({"out": "bfloat16"}, "has C in bfloat16, .* float32"),
        ({"b_column_major": True}, "has b_column_major True"),
        ({"images": "tiles"}, "takes A and B in tiles, .* packed in rows"),
        ({"parts": 2}, "takes A in 2 parts, .* for 1"),
        ({"k_slice": 128}, "has slots for 128 of k, .* for 64"),
        ({"resident": "a"}, "keeps 'a' in memtiles, .* for ''"),
        ({"mlir_sha256": "0" * 64}, "was built by another version of jax-npu"),
        ({"addresses": [1024]}, "parameters at other addresses than streams write"),
        ({"go_lock": 7}, "has lock 7 as the cores' go, and streams set 6"),
        ({"xclbin_sha256": "0" * 64}, "is damaged: gemm.xclbin is not the file"),
        (
            {"versions": {"mlir-aie": "1.5.0"}},
            "built with mlir-aie 1.5.0, and 1.3 or 1.4 is",
        ),
        ({"versions": {}}, "built with mlir-aie unknown, and 1.3 or 1.4 is required"),
    ],
)
def test_what_differs_is_refused(values, message, folder):
    change(folder, **values)
    assert re.search(message, refusal(folder))


def test_one_address_that_differs_is_refused(folder):
    addresses = list(written_addresses(ARRAY))
    addresses[17] += 4
    change(folder, addresses=addresses)
    assert "at other addresses" in refusal(folder)


@pytest.mark.parametrize(
    "array",
    [
        GemmArray("npu2", *TILE),
        GemmArray("npu1", 64, 64, 64),
        GemmArray("npu1", *TILE, out="bfloat16"),
        GemmArray("npu1", *TILE, b_column_major=True),
        GemmArray("npu1", *TILE, images="tiles"),
        GemmArray("npu1", *TILE, images="packed_b"),
        GemmArray("npu1", *TILE, k_slice=128),
    ],
    ids=["device", "tile", "out", "order", "tiles", "packed", "slice"],
)
def test_a_design_is_refused_for_every_other_array(array, folder):
    refusal(folder, array)


def test_a_single_flipped_bit_of_the_xclbin_is_refused(folder):
    path = folder / "gemm.xclbin"
    data = np.fromfile(path, np.uint8)
    data[500] ^= 1
    data.tofile(path)
    assert "is damaged" in refusal(folder)


def test_missing_files_are_refused(folder):
    (folder / "gemm.xclbin").unlink()
    assert "gemm.xclbin cannot be read: No such file" in refusal(folder)
    (folder / "design.json").unlink()
    assert "design.json cannot be read: No such file" in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{", b"[]", b"null", b'"format"', b"[" * 100_000]
)
def test_metadata_that_are_none_are_refused(content, folder):
    (folder / "design.json").write_bytes(content)
    assert re.search("damaged|has format None", refusal(folder))


@pytest.mark.parametrize("value", [None, 1, "x", [], ["x"], {"a": 1}, 1.5, [1.5]])
def test_a_field_of_any_other_kind_is_refused(value, folder):
    record = json.loads((folder / "design.json").read_text())
    for name in record:
        if record[name] == value:
            continue
        change(folder, **{name: value})
        refusal(folder)
        change(folder, **{name: record[name]})
    check_artifact(folder, ARRAY)


def test_a_field_that_is_missing_is_refused_by_name(folder):
    path = folder / "design.json"
    record = json.loads(path.read_text())
    for name in set(record) - {"format"}:
        rest = {key: value for key, value in record.items() if key != name}
        path.write_text(json.dumps(rest))
        assert f"design.json is damaged: {name} is missing or wrong" in refusal(folder)


@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_a_lowered_design_with_every_place_kept_passes(device):
    text = design_text(GemmArray(device, *TILE))
    # As compilers print: another order of attributes, more of them, locations.
    lowered = re.sub(
        r'\{address = (\d+) : i32, sym_name = ("\w+")\}(.*)',
        r"{address = \1 : i32, mem_bank = 1 : i32, sym_name = \2}\3 loc(#loc12)",
        text,
    )
    assert lowered != text
    check_placement(text, lowered)
    check_placement(text, text + "vector.something_new %x { of = <kind> }\n")


@pytest.mark.parametrize("kind", ["buffer", "lock"])
def test_any_place_that_is_not_kept_is_refused(kind, rng):
    text = design_text(ARRAY)
    lines = text.splitlines()
    mine = [i for i, line in enumerate(lines) if f"aie.{kind}(" in line]
    number = r"address = (\d+)" if kind == "buffer" else r", (\d+)\)"
    for index in rng.choice(mine, 12, replace=False):
        line = lines[index]
        name = re.search(r'sym_name = "(\w+)"', line)[1]
        place = re.search(number, line)
        moved = f"{line[: place.start(1)]}{int(place[1]) + 1}{line[place.end(1) :]}"
        tile = re.search(r"%(tile_\d_\d)", line)[1]
        elsewhere = line.replace(
            f"%{tile}", "%tile_2_4" if tile != "tile_2_4" else "%tile_1_4"
        )
        for changed in (moved, elsewhere, ""):
            lowered = [*lines[:index], changed, *lines[index + 1 :]]
            with pytest.raises(
                ValueError, match=f"^{kind} {name} of tile .* must be at"
            ):
                check_placement(text, "\n".join(lowered))
