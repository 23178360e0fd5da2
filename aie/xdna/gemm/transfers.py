"""The shim transfers of a run: which part of an image each step moves, and how.

Each step is one transfer a shim channel, with a buffer descriptor (BD) of its own.
Transfers are computed for all steps at once, as arrays of shape (steps, columns).
"""

from typing import NamedTuple

import numpy as np

from xdna.devices import QUEUE_DEPTH, WORD_BYTES
from xdna.gemm.array import (
    A_ARGUMENT,
    A_CHANNEL,
    B_ARGUMENT,
    B_CHANNEL,
    C_ARGUMENT,
    C_CHANNEL,
    GemmArray,
)
from xdna.gemm.images import OperandImage
from xdna.gemm.runs import Run, along_strides
from xdna.gemm.steps import Step
from xdna.gemm.tiling import Plan
from xdna.stream.shim_bd import ShimTransfers

STEPS_IN_FLIGHT = QUEUE_DEPTH
PASSED_OVER_BD = 3 * STEPS_IN_FLIGHT  # behind those of A, B and C


class OperandTransfers(NamedTuple):
    """One operand's transfers, step after step, and the steps that have them."""

    transfers: ShimTransfers  # (steps with transfers * columns,)
    has_transfers: np.ndarray  # (steps,)


class _Operand(NamedTuple):
    argument: int
    direction: str
    channel: int
    columns: tuple[int, ...]  # shims that move it


def run_transfers(
    plan: Plan, run: Run, steps: list[Step]
) -> tuple[OperandTransfers, OperandTransfers, OperandTransfers]:
    """The transfers of A, of B and of C, step by step."""
    operands = _operands(plan.array)
    batch, row, column = np.array([step.start for step in steps]).T
    counts = np.array([step.num_blocks for step in steps])
    images = plan.images(run)
    along = {name: along_strides(images, name) for name in {s.along for s in steps}}
    strides = np.array([along[step.along] for step in steps])  # (steps, operands)
    places = {
        "a": images.a.block_stride * row,
        "b": images.b.block_stride * column,
        "c": images.c.row_block_stride * row + images.c.block_stride * column,
    }
    loads = np.array([step.loads_resident for step in steps])
    slots = np.arange(len(steps)) % STEPS_IN_FLIGHT
    results = []
    for (name, operand), image in zip(operands.items(), images):
        chosen = loads if name == run.resident else np.ones(len(steps), bool)
        first = (image.batch_stride * batch + places[name])[chosen]
        results.append(
            OperandTransfers(
                _transfers(
                    operand,
                    image,
                    first,
                    slots[chosen],
                    counts[chosen],
                    strides[chosen, operand.argument],
                ),
                chosen,
            )
        )
    return results[0], results[1], results[2]


def passed_over_transfers(plan: Plan, run: Run, count: int) -> ShimTransfers:
    """Transfers of `count` slices of the resident operand that cores pass over.

    They read the operand's first tile again and again, and send a token: nothing else
    shows that they are done.
    """
    array = plan.array
    operand = _operands(array)[array.resident]
    image = plan.images(run)[operand.argument]
    k_tiles, free_tiles, size = image.sizes
    per_slice = k_tiles * array.slice_k // plan.padded_k
    one_slice = image._replace(sizes=(per_slice, free_tiles, size))
    zero, one = np.zeros(1, np.int64), np.array([count])
    transfers = _transfers(operand, one_slice, zero, zero, one, zero)
    ids = np.full_like(transfers.bd_id, PASSED_OVER_BD)
    return transfers._replace(bd_id=ids, token=np.full(ids.shape, True))


def _operands(array: GemmArray) -> dict[str, _Operand]:
    all_columns = tuple(range(array.num_columns))
    return {
        "a": _Operand(A_ARGUMENT, "MM2S", A_CHANNEL, array.a_columns),
        "b": _Operand(B_ARGUMENT, "MM2S", B_CHANNEL, all_columns),
        "c": _Operand(C_ARGUMENT, "S2MM", C_CHANNEL, all_columns),
    }


def _transfers(
    operand: _Operand,
    image: OperandImage,
    first: np.ndarray,
    slots: np.ndarray,
    counts: np.ndarray,
    strides: np.ndarray,
) -> ShimTransfers:
    """One operand's transfers: elements become words.

    Args: (steps,) each
      first: element of the image at which the step's first block begins.
      slots: which of the operand's BDs the step uses.
      counts, strides: blocks of the step, and elements from one to the next.
    """
    shape = len(first), len(operand.columns)
    per_word = WORD_BYTES // image.element_bytes  # elements
    offsets = first[:, None] + image.core_stride * np.arange(shape[1])
    # BDs 0-3 are A's, 4-7 B's and 8-11 C's, one for each step in flight.
    bd_ids = operand.argument * STEPS_IN_FLIGHT + slots[:, None]
    sizes = np.empty((*shape, 4), np.int64)
    sizes[..., 0] = counts[:, None]
    sizes[..., 1:] = (*image.sizes[:2], image.sizes[2] // per_word)
    words = np.empty((*shape, 4), np.int64)
    words[..., 0] = strides[:, None] // per_word
    # the innermost is 1 in words too
    words[..., 1:] = (*(stride // per_word for stride in image.strides[:2]), 1)
    fields = {
        "column": np.array(operand.columns),
        "direction": np.array(operand.direction),
        "channel": np.array(operand.channel),
        "bd_id": bd_ids,
        "argument": np.array(operand.argument),
        "offset_bytes": offsets * image.element_bytes,
        "token": np.array(operand.argument == C_ARGUMENT),
    }
    flat = {
        name: np.broadcast_to(value, shape).reshape(-1)
        for name, value in fields.items()
    }
    return ShimTransfers(
        **flat, sizes=sizes.reshape(-1, 4), strides=words.reshape(-1, 4)
    )
