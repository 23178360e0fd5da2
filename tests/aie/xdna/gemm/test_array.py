"""The array's configuration: the tiles that fit a core and a memtile."""

import itertools

import numpy as np
import pytest

from xdna.devices import CONSTANTS_BYTES, CORE, DEVICES, MEMTILE, device
from xdna.gemm import memory
from xdna.gemm.array import GemmArray
from xdna.gemm.memory import STACK_BYTES

BANK_BYTES = CORE.memory_bytes // CORE.num_banks
TILES = [(64, 64, 64), (64, 64, 32), (32, 32, 32), (16, 8, 16), (96, 64, 32)]


@pytest.mark.parametrize("out", ["float32", "bfloat16"])
@pytest.mark.parametrize("tile", TILES)
def test_buffers_fit_apart_from_each_other_and_the_stack(tile, out):
    array = GemmArray("npu1", *tile, out=out)
    for buffers, limit, first in (
        (array.core_buffers, CORE.memory_bytes, STACK_BYTES),
        (array.memtile_buffers, MEMTILE.memory_bytes, 0),
    ):
        placed = sorted(buffers.values(), key=lambda b: b.address)
        assert placed[0].address >= first
        assert placed[-1].address + placed[-1].num_bytes <= limit
        for lower, upper in itertools.pairwise(placed):
            assert lower.address + lower.num_bytes <= upper.address
            assert upper.address % 32 == 0


def test_a_buffer_that_fits_a_bank_crosses_no_border():
    for tile in TILES:
        for buffer in GemmArray("npu1", *tile).core_buffers.values():
            if buffer.num_bytes <= BANK_BYTES:
                assert not crosses_a_border(buffer.address, buffer.num_bytes)


def crosses_a_border(address, num_bytes):
    return address // BANK_BYTES != (address + num_bytes - 1) // BANK_BYTES


def test_c_has_two_buffers_where_they_fit():
    assert GemmArray("npu1", 64, 64, 32).num_c_buffers == 2
    assert GemmArray("npu1", 64, 64, 64).num_c_buffers == 1


def needed_bytes(m, k, n, out):
    """Bytes of the buffers with one C."""
    c = 4 if out == "float32" else 4 + 2  # with f32 sums beside
    return 2 * 2 * (m * k + k * n) + c * m * n + 8


def left_bytes(array):
    ends = (b.address + b.num_bytes for b in array.core_buffers.values())
    return CORE.memory_bytes - max(ends)


def random_arrays(number):
    """Random arguments; about one tile in three fits."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        m, k, n = rng.integers(1, (9, 17, 9)) * (16, 8, 16)
        names, outs = ["npu1", "npu2"], ["float32", "bfloat16"]
        tile = int(m), int(k), int(n)
        yield rng.choice(names), *tile, rng.choice(outs), bool(rng.integers(2))


def test_a_tile_is_accepted_where_buffers_stack_and_constants_fit():
    """Checks that buffers are apart and aligned, and leave the end to the linker."""
    accepted = 0
    for arguments in random_arrays(1000):
        _, *tile, out, _ = arguments
        limit = CORE.memory_bytes - STACK_BYTES - CONSTANTS_BYTES
        if needed_bytes(*tile, out) > limit:
            with pytest.raises(ValueError, match=f"of the {limit} left and do"):
                GemmArray(*arguments)
            continue
        accepted += 1
        array = GemmArray(*arguments)
        assert left_bytes(array) >= CONSTANTS_BYTES, arguments
        placed = sorted(array.core_buffers.values(), key=lambda b: b.address)
        assert placed[0].address >= STACK_BYTES
        assert all(buffer.address % 32 == 0 for buffer in placed)
        for lower, upper in itertools.pairwise(placed):
            assert lower.address + lower.num_bytes <= upper.address
    assert accepted > 200


def layout_without_reserve(m, k, n, out):
    """The first place in banks for each buffer, largest first, and the bytes behind."""
    sizes = {f"a_{i}": 2 * m * k for i in "01"} | {f"b_{i}": 2 * k * n for i in "01"}
    sizes["c_0"] = m * n * (4 if out == "float32" else 2)
    if out == "bfloat16":
        sizes["accumulator"] = 4 * m * n
    for more in {"c_1": sizes["c_0"]}, {}:
        taken, places = [(0, STACK_BYTES)], {}
        for name, size in sorted(
            ({"parameters": 8} | sizes | more).items(), key=lambda item: -item[1]
        ):
            starts = {0, *range(0, CORE.memory_bytes, BANK_BYTES)}
            starts |= {-(-(start + length) // 32) * 32 for start, length in taken}
            places[name] = next(
                (
                    start
                    for start in sorted(starts)
                    if start + size <= CORE.memory_bytes
                    and (start % BANK_BYTES == 0 or not crosses_a_border(start, size))
                    and all(start + size <= s or s + n <= start for s, n in taken)
                ),
                None,
            )
            if places[name] is None:
                break
            taken.append((places[name], size))
        else:
            left = CORE.memory_bytes - max(s + n for s, n in taken)
            return places, left
    return None


def test_layouts_in_banks_that_leave_enough_are_what_they_were():
    kept = 0
    for arguments in random_arrays(1000):
        try:
            array = GemmArray(*arguments)
        except ValueError:
            continue
        before = layout_without_reserve(*arguments[1:5])
        if before is not None and before[1] >= CONSTANTS_BYTES:
            kept += 1
            assert {n: b.address for n, b in array.core_buffers.items()} == before[0]
    assert kept > 200


@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_streams_find_the_parameters_where_they_were(name):
    """Addresses in the real tools' output for these designs."""
    tile = {"a_0": 3328, "a_1": 32768, "b_0": 40960, "b_1": 49152, "c_0": 16384}
    places = {n: b.address for n, b in GemmArray(name, 64, 64, 64).core_buffers.items()}
    assert places == tile | {"parameters": 11520}
    tile = {"a_0": 3328, "a_1": 16384, "b_0": 11520, "b_1": 40960, "c_0": 24576}
    narrow = GemmArray(name, 64, 64, 32).core_buffers
    assert {n: b.address for n, b in narrow.items()} == tile | {
        "c_1": 32768,
        "parameters": 15616,
    }


@pytest.mark.parametrize("name", ["npu1", "npu2"])
def test_bf16_results_of_the_largest_tile_leave_room_across_banks(name, monkeypatch):
    array = GemmArray(name, 64, 64, 64, out="bfloat16")
    assert left_bytes(array) == 4856
    crossing = [
        buffer.name
        for buffer in array.core_buffers.values()
        if crosses_a_border(buffer.address, buffer.num_bytes)
    ]
    assert crossing == ["accumulator", "a_1", "b_1"]  # one for each border
    monkeypatch.setattr(memory, "CONSTANTS_BYTES", 0)
    assert left_bytes(GemmArray(name, 64, 64, 64, out="bfloat16")) == 0


def test_the_only_tiles_lost_leave_less_than_the_constants_in_all():
    lost = {
        (m, k, n, out)
        for m in range(16, 1024, 16)
        for n in range(16, 1024, 16)
        for k in range(8, 1024, 8)
        for out in ("float32", "bfloat16")
        if 0
        <= CORE.memory_bytes - STACK_BYTES - needed_bytes(m, k, n, out)
        < CONSTANTS_BYTES
        if layout_without_reserve(m, k, n, out) is not None
    }
    assert lost == {
        (32, 128, 64, "bfloat16"),
        (64, 16, 128, "bfloat16"),
        (64, 128, 32, "bfloat16"),
        (96, 32, 96, "float32"),
        (128, 16, 64, "bfloat16"),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("npu1", 128, 128, 64), "do not fit"),
        (("npu1", 60, 64, 64), "m to be a multiple of 16, got 60"),
        (("npu1", 64, 60, 64), "k to be a multiple of 8, got 60"),
        (("npu1", 64, 64, 0), "n to be a multiple of 16, got 0"),
        (("npu1", 64, 64, 64, "float16"), "float32, got 'float16'"),
        (("npu1_2col",), "needs 4 columns"),
        (("npu3",), "device must be one of npu1,"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GemmArray(*arguments)


def test_a_enters_at_a_column_of_its_own_for_each_core_row():
    assert GemmArray("npu1", 64, 64, 64).a_columns == (0, 1, 2, 3)
    assert GemmArray("npu2", 64, 64, 64).a_columns == (0, 2, 4, 6)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_has_one_shim_one_memtile_and_four_cores_a_column(name):
    found = device(name)
    for column in range(found.num_columns):
        kinds = [found.tile(column, row).name for row in range(found.num_rows)]
        assert kinds == ["shim", "memtile", *["core"] * 4]
    with pytest.raises(ValueError, match=rf"got tile \({found.num_columns}, 0\)"):
        found.tile(found.num_columns, 0)
