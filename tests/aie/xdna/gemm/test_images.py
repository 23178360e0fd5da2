"""Images in tiles: one for every use that products make of a value."""

import pytest

from xdna.gemm.array import default_array
from xdna.gemm.images import images_of
from xdna.gemm.stream import image_bytes
from xdna.gemm.tiling import Gemm, plan_of

# GPT-2 124M's head, a layer's weight, activations, a head of attention; and odd ones.
MATRICES = [(50257, 768), (768, 3072), (256, 768), (64, 64), (1, 768), (257, 1537)]
OTHER = 200  # the size that the matrix lacks


def uses(batch, rows, columns):
    """The products that read a (rows, columns) matrix, and whether as A or as B."""
    yield Gemm(batch, rows, columns, OTHER, a_order="mk"), 0
    yield Gemm(batch, columns, rows, OTHER, a_order="km"), 0
    yield Gemm(batch, OTHER, rows, columns, b_order="kn"), 1
    yield Gemm(batch, OTHER, columns, rows, b_order="nk"), 1


@pytest.mark.parametrize("batch", [1, 48])
@pytest.mark.parametrize("matrix", MATRICES, ids=str)
@pytest.mark.parametrize("device", ["npu1", "npu2"])
def test_an_image_does_not_depend_on_its_use(device, matrix, batch):
    array = default_array(device)
    rows, columns = (-(-size // array.slice_k) * array.slice_k for size in matrix)
    for gemm, operand in uses(batch, *matrix):
        plan = plan_of(array, gemm)
        for run in plan.runs:
            if run.grid != plan.blocks:
                continue  # a part of it has an image of its own
            assert plan.images(run)[operand].batch_stride == rows * columns


@pytest.mark.parametrize("matrix", MATRICES, ids=str)
def test_the_images_of_a_run_are_at_most_those_of_its_blocks(matrix):
    """What fits is decided by the latter."""
    array = default_array("npu1")
    for gemm, _ in uses(3, *matrix):
        plan = plan_of(array, gemm)
        for run in plan.runs:
            whole = images_of(array, plan.orders, plan.padded_k, run.grid)
            for num_bytes, largest in zip(image_bytes(plan, run), whole):
                assert num_bytes <= largest.num_bytes
