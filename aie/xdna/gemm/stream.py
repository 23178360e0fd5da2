"""The instruction words of a run of the GEMM array, and the schedule back from words.

Four steps are in flight, as many as a channel queues. C's transfer sends a token, which
proves that A and B of the same step have been read, so its buffer descriptors are free
again. The first A and B go ahead of the cores' parameters: DDR is slow to start.
"""

import functools
from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from xdna.devices import (
    CORE,
    FIRST_CORE_ROW,
    LOCK_STRIDE_BYTES,
    SHIM_ROW,
    Device,
)
from xdna.gemm.array import A_CHANNEL, B_CHANNEL, C_CHANNEL, GO_LOCK, GemmArray
from xdna.gemm.parameters import CoreParameters
from xdna.gemm.resident import end_of_period, passes_over, starts_of_passes
from xdna.gemm.runs import Run
from xdna.gemm.steps import Step
from xdna.gemm.tiling import Plan
from xdna.gemm.transfers import (
    STEPS_IN_FLIGHT,
    OperandTransfers,
    passed_over_transfers,
    run_transfers,
)
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

    parameters: CoreParameters
    transfers: tuple[ShimTransfer, ...]


def run_words(plan: Plan, run: Run) -> np.ndarray:
    """The instruction words of one run, uint32, header included."""
    return _StreamWriter(plan, run).words()


class _StreamWriter:
    """Writes a run's operations, in their order, and counts them."""

    def __init__(self, plan: Plan, run: Run):
        self.plan, self.run, self.array = plan, run, plan.array
        self.parts: list[np.ndarray] = []
        self.num_operations = 0
        self.in_flight: deque[Step] = deque()
        # Whether the stream writes locks for a resident operand.
        self.is_written = run.resident != "" and plan.array.replays == 1

    def words(self) -> np.ndarray:
        steps = list(self.run.steps())
        a, b, c = run_transfers(self.plan, self.run, steps)
        device = self.array.device
        fills = zip(_by_step(device, a), _by_step(device, b))
        drains = _by_step(device, c)
        for index, (step, fill, drain) in enumerate(zip(steps, fills, drains)):
            if index and step.loads_resident and self.is_written:
                self._finish_steps(0)  # the period before must have ended
            self._finish_steps(STEPS_IN_FLIGHT - 1)
            for words in fill:
                self._add(words, NUM_OPERATIONS)
            if index == 0:
                self._add(_parameter_words(self.array, self._parameters()), 1)
            self._add(drain, NUM_OPERATIONS_WITH_TOKEN)
            self.in_flight.append(step)
        self._finish_steps(0)
        self._pass_over()
        return assemble(device, self.num_operations, self.parts)

    def _parameters(self) -> CoreParameters:
        return parameters_of(self.plan, self.run)

    def _add(self, words: np.ndarray, operations_each: int) -> None:
        """Adds transfers or operations, one a row."""
        self.parts.append(words.reshape(-1))
        self.num_operations += operations_each * len(words)

    def _finish_steps(self, left: int) -> None:
        """Waits until no more than `left` steps are in flight."""
        while len(self.in_flight) > left:
            step = self.in_flight.popleft()
            sync = Sync(0, SHIM_ROW, "S2MM", C_CHANNEL, self.array.num_columns)
            self._wait(sync)
            if step.further_passes and self.is_written:
                self._add(starts_of_passes(self.array, step.further_passes), 1)
            if step.ends_period and self.is_written:
                self._add(end_of_period(self.array), 1)

    def _wait(self, sync: Sync) -> None:
        self._add(np.array([operation_words(sync)], np.uint32), 1)

    def _pass_over(self) -> None:
        count = self._parameters().passed_over
        if count == 0:
            return
        transfers = passed_over_transfers(self.plan, self.run, count)
        words = transfer_words(self.array.device, transfers)
        self._add(words, NUM_OPERATIONS_WITH_TOKEN)
        places = np.stack([transfers.column, transfers.channel], axis=1)
        for column, channel in places.tolist():
            self._wait(Sync(column, SHIM_ROW, "MM2S", channel))


def _by_step(device: Device, operand: OperandTransfers) -> list[np.ndarray]:
    """The words of each step's transfers, one a row; none where a step has none."""
    words = transfer_words(device, operand.transfers)
    num_steps = int(operand.has_transfers.sum())
    of_step = iter(words.reshape(num_steps, -1, words.shape[-1]))
    none = words[:0]
    return [next(of_step) if has else none for has in operand.has_transfers]


def parameters_of(plan: Plan, run: Run) -> CoreParameters:
    """What the run tells every core."""
    orders = 0
    if plan.array.is_tiled:
        orders = (plan.gemm.a_order == "km") | (plan.gemm.b_order == "nk") << 1
    passed_over = passes_over(plan.array, run, plan.k_steps)
    return CoreParameters(run.num_tiles, plan.k_steps, passed_over, orders)


def schedule(plan: Plan, run: Run) -> Schedule:
    """The schedule that `run_words` encodes."""
    steps = list(run.steps())
    operands = run_transfers(plan, run, steps)
    rows = [
        iter(
            np.array_split(
                np.arange(np.size(one.transfers.bd_id)), one.has_transfers.sum()
            )
        )
        for one in operands
    ]
    transfers = []
    for index in range(len(steps)):
        for operand, of_step in zip(operands, rows):
            if operand.has_transfers[index]:
                moved = operand.transfers
                transfers += [_transfer(moved, row) for row in next(of_step)]
    parameters = parameters_of(plan, run)
    if parameters.passed_over:
        rest = passed_over_transfers(plan, run, parameters.passed_over)
        transfers += [_transfer(rest, row) for row in range(np.size(rest.bd_id))]
    return Schedule(parameters, tuple(transfers))


def decode_schedule(array: GemmArray, words: ArrayLike) -> Schedule:
    """The schedule that a stream carries out.

    Raises:
      ValueError: if the words are not a stream, or the cores' parameters differ.
    """
    _, stream = decode(words)
    writes = {op.address: op.value for _, op in stream if isinstance(op, Write)}
    values: dict[int, int] = {}
    # Every core must get the same parameters.
    for offset in CoreParameters(1, 1).words(array):
        addresses = _core_addresses(array, offset)
        written = {writes[address] for address in addresses if address in writes}
        if len(written) != 1 or any(address not in writes for address in addresses):
            raise ValueError(
                f"the parameter at {offset:#x} must be one number in every core, got "
                f"{written}"
            )
        values[offset] = written.pop()
    transfers = tuple(transfer for _, transfer in transfers_of(stream))
    return Schedule(CoreParameters.from_words(array, values), transfers)


def fed_by(array: GemmArray) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """The (column, MM2S channel)s that feed each C channel: for `check_stream`."""
    a = [(column, A_CHANNEL) for column in array.a_columns]
    return {
        (column, C_CHANNEL): [*a, (column, B_CHANNEL)]
        for column in range(array.num_columns)
    }


def image_bytes(plan: Plan, run: Run) -> tuple[int, int, int]:
    """Bytes of A, B and C in DDR that a run addresses."""
    a, b, c = (image.num_bytes for image in plan.images(run))
    return a, b, c


def _transfer(transfers: ShimTransfers, row: int) -> ShimTransfer:
    values = (np.asarray(field)[row].tolist() for field in transfers)
    fields: list[Any] = [tuple(v) if isinstance(v, list) else v for v in values]
    return canonical(ShimTransfer(*fields))


@functools.lru_cache(maxsize=64)
def _core_addresses(array: GemmArray, offset: int) -> list[int]:
    return [
        tile_address(column, FIRST_CORE_ROW + row, offset)
        for column in range(array.num_columns)
        for row in range(array.num_rows)
    ]


def _parameter_words(array: GemmArray, parameters: CoreParameters) -> np.ndarray:
    """The parameters and then the "go" of every core, (writes, 6 words)."""
    go = CORE.lock_address + LOCK_STRIDE_BYTES * GO_LOCK
    # The "go" last: a core reads the parameters as soon as it has it.
    values = parameters.words(array) | {go: 1}
    return np.concatenate(
        [
            write_words(np.array(_core_addresses(array, offset)), value)
            for offset, value in values.items()
        ]
    )
