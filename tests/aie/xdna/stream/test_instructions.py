import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdna.devices import DEVICES, device
from xdna.stream.decoding import decode, from_bytes
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    LoadPdi,
    MaskWrite,
    Preempt,
    Sync,
    Write,
    assemble,
    encode,
    operation_words,
    tile_address,
    write_words,
)

# What aie-translate 1.3 writes.
GOLDEN = [
    (
        Write(tile_address(3, 4, 0xABC00DEF), 0x42),
        "00000000 00000000 06400DEF 00000000 00000042 00000018",
    ),
    (
        MaskWrite(tile_address(2, 3, 0x567A), 0x1001, 0xF00FF00F),
        "00000003 00000000 0430567A 00000000 00001001 F00FF00F 0000001C",
    ),
    (Sync(3, 4, "MM2S", 5, 1, 2), "00000080 00000010 00030401 05010200"),
    (LoadPdi(2, 1024, 0xABC12345678), "00020008 00000400 12345678 00000ABC"),
    (Preempt(3), "00000306"),
]

WORD = st.integers(0, 2**32 - 1)
BYTE = st.integers(0, 255)
OPERATIONS = st.one_of(
    st.builds(Write, WORD, WORD),
    st.builds(MaskWrite, WORD, WORD, WORD),
    st.builds(BlockWrite, WORD, st.lists(WORD, min_size=1, max_size=9).map(tuple)),
    st.builds(Sync, BYTE, BYTE, st.sampled_from(["S2MM", "MM2S"]), BYTE, BYTE, BYTE),
    st.builds(DdrPatch, WORD, WORD, WORD),
    st.builds(LoadPdi, st.integers(0, 2**16 - 1), WORD, st.integers(0, 2**64 - 1)),
    st.builds(Preempt, BYTE),
)


@pytest.mark.parametrize(("operation", "words"), GOLDEN)
def test_operations_are_the_golden_words(operation, words):
    assert operation_words(operation) == [int(word, 16) for word in words.split()]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("npu1", 0x06030100, 0x104),
        ("npu1_1col", 0x06030100, 0x101),
        ("npu2", 0x06040100, 0x108),
        ("npu2_3col", 0x06040100, 0x103),
    ],
)
def test_header_is_the_devices(name, first, second):
    assert encode(device(name), [Preempt(0)]).tolist() == [first, second, 1, 20, 6]


def test_sample_decodes_and_encodes_to_itself(sample_words):
    header, stream = decode(sample_words)
    assert header.device.name == "npu1_1col"
    assert [word for word, _ in stream] == [4, 16, 28, 35, 41, 53, 65, 71, 77, 83]
    again = encode(header.device, [operation for _, operation in stream])
    np.testing.assert_array_equal(again, sample_words)


@given(st.sampled_from(sorted(DEVICES)), st.lists(OPERATIONS, max_size=8))
def test_any_operations_decode_to_themselves(name, operations):
    header, stream = decode(encode(device(name), operations))
    assert header.device.name == name
    assert [operation for _, operation in stream] == operations


def test_many_writes_are_their_single_writes():
    addresses, values = np.arange(5) * 4, np.arange(5) + 7
    words = assemble(device("npu1"), 5, [write_words(addresses, values)])
    one_by_one = [Write(int(a), int(v)) for a, v in zip(addresses, values)]
    np.testing.assert_array_equal(words, encode(device("npu1"), one_by_one))


def test_block_write_with_a_tile_of_its_own_decodes_to_a_flat_address():
    words = encode(device("npu1"), [BlockWrite(0x1D000, (7,))])
    words[5] = 2 | 1 << 8
    (located,) = decode(words)[1]
    assert located.operation == BlockWrite(tile_address(2, 1, 0x1D000), (7,))


@pytest.mark.parametrize(
    "operation",
    [
        Write(-1, 0),
        Write(0, 2**32),
        BlockWrite(0, ()),
        Sync(256, 0, "S2MM", 0),
        Sync(0, 0, "up", 0),
        Preempt(256),
        LoadPdi(2**16, 0, 0),
        LoadPdi(0, 0, 2**64),
    ],
)
def test_fields_that_do_not_fit_are_refused(operation):
    with pytest.raises(ValueError, match="must be"):
        encode(device("npu1"), [operation])


def _with(index, value):
    def change(words):
        words[index] = value
        return words

    return change


BROKEN = {
    "word 3: the stream ends within its header": lambda w: w[:3],
    "word 0: version must be 0.1, got 1.1": _with(0, 0x06030101),
    "word 0: device generation must be 3 or 4, got 7": _with(0, 0x06070100),
    "word 0: rows must be 6, got 5": _with(0, 0x05030100),
    "word 1: memtile rows must be 1, got 2": _with(1, 0x201),
    "word 1: npu1 has no 9 columns": _with(1, 0x109),
    "word 2: the header counts 11 operations, the stream has 10": _with(2, 11),
    "word 3: the header counts 352 bytes, the stream has 348": _with(3, 352),
    "word 4: opcode 0x2 is not known": _with(4, 2),
    "word 7: BLOCKWRITE must count at least 20 bytes": _with(7, 16),
    "word 4: BLOCKWRITE has 1073741823 words": _with(7, 0xFFFFFFFC),
    "word 4: BLOCKWRITE names two tiles": _with(5, 0x10000),
    "word 17: DDR_PATCH must have 48 here, got 0x2c": _with(17, 44),
    "word 23: DDR_PATCH must have 0 here, got 0x1": _with(23, 1),
    "word 34: MASKWRITE must have 28 here, got 0x18": _with(34, 24),
    "word 40: WRITE must have 24 here, got 0x0": _with(40, 0),
    "word 83: SYNC has reserved bits set": _with(85, 2),
}


@pytest.mark.parametrize(("message", "change"), BROKEN.items())
def test_broken_streams_are_refused_with_the_word(sample_words, message, change):
    with pytest.raises(ValueError, match=f"^{message}") as error:
        decode(change(sample_words))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_words", range(4, 87))
def test_truncated_streams_are_refused(sample_words, num_words):
    words = sample_words[:num_words]
    with pytest.raises(ValueError, match=r"^word 3"):
        decode(words)
    words[3] = 4 * num_words
    with pytest.raises(ValueError, match=r"the stream (ends|has)"):
        decode(words)


def test_bytes_that_are_no_words_are_refused(sample_words):
    data = sample_words.astype("<u4").tobytes()
    np.testing.assert_array_equal(from_bytes(data), sample_words)
    with pytest.raises(ValueError, match=r"^word 86: .* got 347 bytes"):
        from_bytes(data[:-1])


@settings(max_examples=300)
@given(st.lists(WORD, max_size=40), st.integers(0, 3))
def test_random_words_decode_or_are_refused_in_one_line(words, num_operations):
    body = [6, *words]
    header = [0x06030100, 0x104, num_operations, 4 * (4 + len(body))]
    for stream in words, header + body:
        _decodes_or_is_refused(stream)


@given(st.integers(0, 86), WORD)
def test_a_changed_word_decodes_or_is_refused_in_one_line(index, value):
    words = encode(
        device("npu1"),
        [
            BlockWrite(0x1D000, (1,) * 8),
            DdrPatch(0x1D004, 1, 0),
            MaskWrite(0x1D200, 0, 1),
            Write(0x1D204, 0),
            Sync(0, 0, "S2MM", 0),
            LoadPdi(1, 2, 3),
        ],
    )
    words[index % len(words)] = value
    _decodes_or_is_refused(words)


def _decodes_or_is_refused(words):
    message = "word"
    try:
        decode(words)
    except ValueError as error:
        message = str(error)
    assert message.startswith("word")
    assert "\n" not in message
