"""Streams that are damaged at random end in a result or in one clear line."""

import numpy as np
import pytest

from xdna.simulator import Trap, VirtualNpu
from xdna.stream.decoding import decode
from xdna.stream.instructions import encode

NUM_RANDOM = 200  # of each seed
LAST_CYCLE = 10**7  # a run that goes on for longer has no end; the right one takes 1e5


def mutated(words, npu, rng):
    """The stream with one to three of its words or operations changed, and how."""
    words, changes = words.copy(), []
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["bit", "word", "small", "cut", "twice", "swap", "drop"])
        at = int(rng.integers(len(words)))
        changes.append((str(kind), at))
        if kind == "bit":
            words[at] ^= np.uint32(1 << int(rng.integers(32)))
        elif kind == "word":
            words[at] = rng.integers(1 << 32, dtype=np.uint64).astype(np.uint32)
        elif kind == "small":
            words[at] = rng.integers(64)
        elif kind == "cut":
            words = words[: at + 1]
        else:
            words = reordered(words, str(kind), npu, rng)
    return words, changes


def reordered(words, kind, npu, rng):
    try:
        operations = [located.operation for located in decode(words)[1]]
    except ValueError:
        return words  # an earlier change made it none
    if not operations:
        return words
    first, second = (int(rng.integers(len(operations))) for _ in range(2))
    if kind == "twice":
        operations.insert(second, operations[first])
    elif kind == "drop":
        del operations[first]
    else:
        changed = operations[second], operations[first]
        operations[first], operations[second] = changed
    return np.asarray(encode(npu, operations), np.uint32)


def outcome(npu, words, buffers):
    """ "result", or the line of the error."""
    try:
        npu.run(words, buffers, stop_after=LAST_CYCLE)
    except (Trap, ValueError) as error:
        return str(error)
    return "result"


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))]
)
def test_a_damaged_stream_ends_in_a_result_or_one_line(small_gemm, seed):
    rng = np.random.default_rng([20261128, seed])
    npu = VirtualNpu(small_gemm.configuration, "exact")
    a, b = small_gemm.small_integers(rng)
    outcomes = set()
    for _ in range(NUM_RANDOM):
        words, changes = mutated(small_gemm.words, small_gemm.array.device, rng)
        npu.reset()
        line = outcome(npu, words, small_gemm.buffers(a, b))
        assert 0 < len(line) < 1000, changes
        assert "\n" not in line, changes
        outcomes.add(line.split()[0])
    assert len(outcomes) > 3  # they do not all end at the first check
    # And the engine works as before.
    npu.reset()
    buffers = small_gemm.buffers(a, b)
    npu.run(small_gemm.words, buffers)
    expected = np.matmul(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_array_equal(buffers[2], expected)
