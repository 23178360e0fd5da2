"""Whatever single part is left out of a design or a stream, it is noticed.

Each mutant lacks one lock operation, one word or one operation. It runs two products
of different shapes one after the other, and must end in a trap, in a wrong result, or
in an error of `check_stream`.
"""

import itertools

import numpy as np
import pytest

from xdna.devices import SHIM, SHIM_ROW
from xdna.gemm.stream import fed_by, image_bytes
from xdna.simulator import Trap, VirtualNpu
from xdna.stream.check import check_stream
from xdna.stream.decoding import decode
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    MaskWrite,
    Sync,
    Write,
    encode,
    split_address,
)
from xdna.stream.pushed_transfers import transfers_of
from xdna.stream.registers import register_at

# More steps than are in flight at once, of several grid points each; several k steps.
SIZES = [(3, 140, 20, 70), (2, 300, 8, 70)]
NUM_SKEWS = 6
ARRAYS = [
    pytest.param(("npu1", {}), id="npu1"),
    pytest.param(("npu1", {"out": "bfloat16"}), id="npu1-bf16", marks=pytest.mark.slow),
    pytest.param(("npu2", {}), id="npu2", marks=pytest.mark.slow),
]


class Products:
    """The products to run one after the other, with their operands and results."""

    def __init__(self, gemms, rng):
        self.gemms = gemms
        self.operands = [gemm.small_integers(rng) for gemm in gemms]
        self.expected = [
            np.matmul(*(x.astype(np.float32) for x in operands))
            for operands in self.operands
        ]

    def survive(self, npu, streams=None):
        """Whether the virtual NPU finds nothing wrong.

        The first product runs again at the end, to show what the last one left behind.
        """
        for i in (*range(len(self.gemms)), 0):
            gemm = self.gemms[i]
            buffers, expected = (
                gemm.buffers(*self.operands[i], *result)
                for result in ((), (self.expected[i],))
            )
            try:
                npu.run(gemm.words if streams is None else streams[i], buffers)
            except Trap:
                return False
            if not all(map(np.array_equal, buffers, expected)):
                return False
        return True

    def passes_check(self, streams):
        """Whether `check_stream` finds nothing wrong."""
        for gemm, words in zip(self.gemms, streams):
            try:
                check_stream(
                    words,
                    gemm.array.device,
                    argument_bytes=image_bytes(gemm.plan, gemm.run),
                    fed_by=fed_by(gemm.array),
                )
            except ValueError:
                return False
        return True


@pytest.fixture(params=ARRAYS)
def products(request, make_gemm, rng):
    name, options = request.param
    return Products([make_gemm(name, sizes, **options) for sizes in SIZES], rng)


@pytest.fixture
def survivors_of_design(products):
    """A function of mutated configurations by name: the names of the survivors."""

    def survives(text):
        # An error that timing hides shows when some routes are slow.
        shown = itertools.chain([text], (skewed(text, i) for i in range(NUM_SKEWS)))
        return all(products.survive(VirtualNpu(one)) for one in shown)

    return lambda mutants: [name for name, text in mutants if survives(text)]


@pytest.fixture
def survivors_of_stream(products):
    """A function that gives a stream's mutants by name: the names of the survivors.

    Those that mean the same as the original do not count.
    """
    npu = products.gemms[0].npu()
    originals = [gemm.words for gemm in products.gemms]

    def survives(mutant, which):
        streams = [*originals[:which], mutant, *originals[which + 1 :]]
        npu.reset()
        return (
            products.survive(npu, streams)
            and products.passes_check(streams)
            and meaning(mutant) != meaning(originals[which])
        )

    return lambda mutate: [
        f"{name} of stream {which}"
        for which, words in enumerate(originals)
        for name, mutant in mutate(words)
        if survives(mutant, which)
    ]


def test_products_survive_unchanged_and_skewed(products):
    configuration = products.gemms[0].configuration
    for text in configuration, *(skewed(configuration, i) for i in range(NUM_SKEWS)):
        npu = VirtualNpu(text)
        assert products.survive(npu)
        assert products.survive(npu)
    assert products.passes_check([gemm.words for gemm in products.gemms])


def test_no_lock_operation_of_a_bd_can_be_left_out(products, survivors_of_design):
    assert survivors_of_design(without_bd_locks(products.gemms[0].configuration)) == []


def test_no_lock_operation_of_a_core_can_be_left_out(products, survivors_of_design):
    text = products.gemms[0].configuration
    assert survivors_of_design(without_instructions(text, "acquire", "release")) == []


def test_no_call_can_be_left_out(products, survivors_of_design):
    text = products.gemms[0].configuration
    assert survivors_of_design(without_instructions(text, "call")) == []


def test_no_bd_can_go_to_another_place(products, survivors_of_design):
    assert survivors_of_design(other_bds(products.gemms[0].configuration)) == []


def test_no_lock_can_begin_with_another_value(products, survivors_of_design):
    assert survivors_of_design(other_inits(products.gemms[0].configuration)) == []


def test_one_half_of_a_double_buffer_is_right_too(products):
    lines = products.gemms[0].configuration.splitlines()
    for i, words in enumerate(map(str.split, lines)):
        if is_free_lock(words):
            lines[i] = " ".join([*words[:4], "1", words[5]])
    assert products.survive(VirtualNpu("\n".join(lines)))


def test_no_operation_can_be_left_out(products, survivors_of_stream):
    device = products.gemms[0].array.device

    def mutate(words):
        _, stream = decode(words)
        operations = [operation for _, operation in stream]
        for i, (word, operation) in enumerate(stream):
            left = operations[:i] + operations[i + 1 :]
            yield f"{type(operation).__name__} of word {word}", encode(device, left)

    assert survivors_of_stream(mutate) == []


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_no_operation_can_be_changed(products, survivors_of_stream, step):
    device = products.gemms[0].array.device

    def mutate(words):
        _, stream = decode(words)
        operations = [operation for _, operation in stream]
        for i, (word, operation) in enumerate(stream):
            for changed in list(others(operation))[i % step :: step]:
                mutant = [*operations[:i], changed, *operations[i + 1 :]]
                yield f"{changed} of word {word}", encode(device, mutant)

    assert survivors_of_stream(mutate) == []


@pytest.mark.parametrize("step", [37, pytest.param(7, marks=pytest.mark.slow)])
def test_no_bit_can_be_flipped(products, survivors_of_stream, rng, step):
    def mutate(words):
        for word in range(0, len(words), step):
            bit = rng.integers(32)
            mutant = words.copy()
            mutant[word] ^= np.uint32(1 << bit)
            yield f"bit {bit} of word {word}", mutant

    assert survivors_of_stream(mutate) == []


def meaning(words):
    """A stream's effects: its pushes as transfers, whichever BD they use."""
    _, stream = decode(words)
    done = [
        operation
        for _, operation in stream
        if not isinstance(operation, BlockWrite | DdrPatch | MaskWrite)
        and not is_push(operation)
    ]
    transfers = [transfer._replace(bd_id=0) for _, transfer in transfers_of(stream)]
    return done, transfers


def is_push(operation):
    if not isinstance(operation, Write):
        return False
    _, row, offset = split_address(operation.address)
    return row == SHIM_ROW and register_at(SHIM, offset).what == "queue"


def skewed(text, seed):
    """The configuration with some routes, drawn at random, much longer."""
    rng = np.random.default_rng(seed)
    lines = [line.split() for line in text.splitlines()]
    for line in lines:
        if line[0] == "route":
            line[-1] = str(int(line[-1]) * int(rng.choice([1, 500, 3000])))
    return "\n".join(map(" ".join, lines))


def without_bd_locks(text):
    for i, words in enumerate(map(str.split, text.splitlines())):
        for name, at in (("acquire", 9), ("release", 11)) if words[0] == "bd" else ():
            mutant = replaced(text, i, [*words[:at], "-1", "0", *words[at + 2 :]])
            yield f"{name} of {' '.join(words[:4])}", mutant


def without_instructions(text, *kinds):
    core = "?"
    for i, words in enumerate(map(str.split, text.splitlines())):
        if words[0] == "core":
            core = " ".join(words[1:3])
        if words[0] in kinds:
            mutant = replaced(text, i, ["move", "0", "0"])
            yield f"{' '.join(words)} of core {core}, line {i}", mutant


def other_bds(text):
    """Mutants in which a BD has the address of the next one, or follows itself."""
    lines = [line.split() for line in text.splitlines()]
    for i, (words, following) in enumerate(itertools.pairwise(lines)):
        if words[0] == following[0] == "bd" and words[:3] == following[:3]:
            where = " ".join(words[:4])
            yield (
                f"address of {where}",
                replaced(text, i, [*words[:6], following[6], *words[7:]]),
            )
            yield (
                f"next of {where}",
                replaced(text, i, [*words[:8], words[3], *words[9:]]),
            )


def other_inits(text):
    for i, words in enumerate(map(str.split, text.splitlines())):
        for step in (-1, 1) if words[0] == "lock" else ():
            init = int(words[4]) + step
            # One half less of a double buffer is slower, not wrong.
            if init >= 0 and not (step < 0 and is_free_lock(words)):
                mutant = replaced(text, i, [*words[:4], str(init), words[5]])
                yield f"{words[5]} begins with {init}", mutant


def is_free_lock(words):
    return words[0] == "lock" and words[5].endswith("_free")


def others(operation):
    match operation:
        case Write(_, value):
            for other in {0, value + 1, value ^ 2, value & 0x7FFFFFFF} - {value}:
                yield operation._replace(value=other)
        case BlockWrite(_, data):
            yield operation._replace(data=(0,) * len(data))
            yield operation._replace(data=(data[0] // 2, *data[1:]))
        case DdrPatch(_, argument, offset):
            yield operation._replace(argument=argument ^ 1)
            yield operation._replace(offset_bytes=offset + 4)
            yield operation._replace(address=operation.address + 0x20)
        case MaskWrite():
            yield operation._replace(value=0)
        case Sync():
            yield operation._replace(num_columns=operation.num_columns - 1)
            yield operation._replace(channel=1)
            yield operation._replace(direction="MM2S")


def replaced(text, i, words):
    """The text with another line i."""
    lines = text.splitlines()
    lines[i] = " ".join(words)
    return "\n".join(lines)
