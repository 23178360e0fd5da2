"""The instruction words of a run of the GEMM array, and the schedule back from words.

Four steps are in flight, as many as a channel queues. C's transfer sends a token, which
proves that A and B of the same step have been read, so its buffer descriptors are free
again. The first A and B go ahead of the cores' parameters: DDR is slow to start.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import (
    CORE,
    FIRST_CORE_ROW,
    LOCK_STRIDE_BYTES,
    SHIM_ROW,
    WORD_BYTES,
)
from xdna.gemm import costs
from xdna.gemm.array import (
    A_CHANNEL,
    B_CHANNEL,
    C_CHANNEL,
    GO_LOCK,
    NUM_K_STEPS_PARAMETER,
    NUM_TILES_PARAMETER,
    GemmArray,
)
from xdna.gemm.runs import Run
from xdna.gemm.tiling import Plan
from xdna.gemm.transfers import STEPS_IN_FLIGHT, run_transfers
from xdna.stream.decoding import decode
from xdna.stream.instructions import (
    Sync,
    Write,
    assemble,
    operation_words,
    tile_address,
    write_words,
)
from xdna.stream.pushed_transfers import transfers_of
from xdna.stream.shim_bd import (
    NUM_OPERATIONS,
    NUM_OPERATIONS_WITH_TOKEN,
    ShimTransfer,
    ShimTransfers,
    canonical,
    transfer_words,
)


class Schedule(NamedTuple):
    """The meaning of a run's words: the cores' parameters, the transfers as pushed."""

    num_tiles: int
    k_steps: int
    transfers: tuple[ShimTransfer, ...]


def run_words(plan: Plan, run: Run) -> np.ndarray:
    """The instruction words of one run, uint32, header included."""
    device = plan.array.device
    inputs, outputs = run_transfers(plan, run)
    # A step's transfers in a row: (steps, words).
    fill = transfer_words(device, inputs).reshape(run.num_steps, -1)
    drain = transfer_words(device, outputs).reshape(run.num_steps, -1)
    sync = np.array(operation_words(_sync(plan.array)), np.uint32)
    parameters = _parameter_words(plan.array, run.num_tiles, plan.k_steps)
    head = min(run.num_steps, STEPS_IN_FLIGHT)
    waits = np.tile(sync, (run.num_steps - head, 1))
    num_operations = (
        NUM_OPERATIONS * np.size(inputs.bd_id)
        + NUM_OPERATIONS_WITH_TOKEN * np.size(outputs.bd_id)
        + len(parameters)
        + run.num_steps  # syncs
    )
    return assemble(
        device,
        num_operations,
        [
            fill[0],
            parameters,
            drain[0],
            np.hstack([fill[1:head], drain[1:head]]),
            # From here on a step begins when the one `head` steps before it is done.
            np.hstack([waits, fill[head:], drain[head:]]),
            np.tile(sync, head),
        ],
    )


def schedule(plan: Plan, run: Run) -> Schedule:
    """The schedule that `run_words` encodes."""
    fill, drain = run_transfers(plan, run)
    fill_rows, drain_rows = (
        np.array_split(np.arange(np.size(part.bd_id)), run.num_steps)
        for part in (fill, drain)
    )
    transfers = []
    for fill_step, drain_step in zip(fill_rows, drain_rows):
        transfers += [_transfer(fill, row) for row in fill_step]
        transfers += [_transfer(drain, row) for row in drain_step]
    return Schedule(run.num_tiles, plan.k_steps, tuple(transfers))


def decode_schedule(array: GemmArray, words: ArrayLike) -> Schedule:
    """The schedule that a stream carries out.

    Raises:
      ValueError: if the words are not a stream, or the cores' parameters differ.
    """
    _, stream = decode(words)
    writes = {op.address: op.value for _, op in stream if isinstance(op, Write)}
    parameters = []
    # Every core must get the same parameters.
    for position in (NUM_TILES_PARAMETER, NUM_K_STEPS_PARAMETER):
        addresses = _core_addresses(array, _parameter_offset(array, position))
        values = {writes[address] for address in addresses if address in writes}
        if len(values) != 1 or any(address not in writes for address in addresses):
            raise ValueError(
                f"parameter {position} must be one number in every core, got {values}"
            )
        parameters.append(values.pop())
    num_tiles, k_steps = parameters
    transfers = tuple(transfer for _, transfer in transfers_of(stream))
    return Schedule(num_tiles, k_steps, transfers)


def fed_by(array: GemmArray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """The (column, MM2S channel)s that feed each C channel: for `check_stream`."""
    a = [(column, A_CHANNEL) for column in array.a_columns]
    return {
        (column, C_CHANNEL): [*a, (column, B_CHANNEL)]
        for column in range(array.num_columns)
    }


def image_bytes(plan: Plan, run: Run) -> tuple[int, int, int]:
    """Bytes of A, B and C in DDR that a run addresses."""
    return costs.image_bytes(plan.array, plan.padded_k, run.grid)


def _transfer(transfers: ShimTransfers, row: int) -> ShimTransfer:
    values = (np.asarray(field)[row].tolist() for field in transfers)
    fields: list[Any] = [tuple(v) if isinstance(v, list) else v for v in values]
    return canonical(ShimTransfer(*fields))


def _sync(array: GemmArray) -> Sync:
    return Sync(0, SHIM_ROW, "S2MM", C_CHANNEL, num_columns=array.num_columns)


@functools.lru_cache(maxsize=64)
def _core_addresses(array: GemmArray, offset: int) -> list[int]:
    return [
        tile_address(column, FIRST_CORE_ROW + row, offset)
        for column in range(array.num_columns)
        for row in range(array.num_rows)
    ]


def _parameter_offset(array: GemmArray, position: int) -> int:
    return array.core_buffers["parameters"].address + WORD_BYTES * position


def _parameter_words(array: GemmArray, num_tiles: int, k_steps: int) -> np.ndarray:
    """Both parameters and then the "go" of every core, (writes, 6 words)."""
    go = CORE.lock_address + LOCK_STRIDE_BYTES * GO_LOCK
    # The "go" last: a core reads the parameters as soon as it has it.
    values = {
        _parameter_offset(array, NUM_TILES_PARAMETER): num_tiles,
        _parameter_offset(array, NUM_K_STEPS_PARAMETER): k_steps,
        go: 1,
    }
    return np.concatenate(
        [
            write_words(np.array(_core_addresses(array, offset)), value)
            for offset, value in values.items()
        ]
    )
