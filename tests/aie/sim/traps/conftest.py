"""A GEMM, its stream, and the trap that a change of them ends in."""

import pytest

from xdna.simulator import Trap, VirtualNpu
from xdna.stream.decoding import decode
from xdna.stream.instructions import encode


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
