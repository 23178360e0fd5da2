"""The time of a plan in closed form: the terms of the virtual NPU's time model.

A run begins with its launch, the controller's words and the first tiles, and ends with
the last block of C. In between, whatever takes longest sets the pace: cores, streams,
shims' runs of bytes, DDR. The virtual NPU, which executes all of it, agrees within 10%;
with row-major slices of four k tiles, within 11%.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from xdna.devices import WORD_BYTES
from xdna.gemm.array import INPUT_BYTES
from xdna.gemm.images import OperandImage
from xdna.gemm.parameters import CoreParameters
from xdna.gemm.programs.kernel_calls import kernel_calls
from xdna.gemm.resident import memtile_columns, passes_over
from xdna.gemm.runs import Run, is_chained
from xdna.gemm.tiling import Plan
from xdna.timing import Timing

LINE_BYTES = 64
# Instructions of a core's own program around each k step and each tile, counted in the
# programs of `programs`, and locks and transfers between k steps.
STEP_INSTRUCTIONS = 30
TILE_INSTRUCTIONS = 40


class Pace(NamedTuple):
    """Seconds of a run if only one part of the machine took any.

    Each has the part's work, and what it waits for at the start and the end.
    """

    controller: float
    cores: float
    streams: float  # between memtiles and cores
    shims: float  # channels, and the runs of bytes that they begin
    ddr: float

    @property
    def bound(self) -> str:
        """The part that takes longest."""
        return self._fields[max(range(len(self)), key=self.__getitem__)]


@dataclass(frozen=True)
class Forecast:
    """The times of a plan, in seconds, summed over its runs."""

    launches: float
    pace: Pace
    work: float  # of all parts together, run by run

    @property
    def seconds(self) -> float:
        return self.launches + self.work


def forecast(plan: Plan, times: Timing, arithmetic: str = "exact") -> Forecast:
    """The forecast of a plan; all runs but the first of a list are chained."""
    model = _Model(plan, times, arithmetic)
    launches = sum(model.launch(is_chained(i)) for i in range(len(plan.runs)))
    paces = [model.pace(run) for run in plan.runs]
    return Forecast(
        launches=launches,
        pace=Pace(*(sum(part) for part in zip(*paces))),
        work=sum(_together(pace) for pace in paces),
    )


def _together(pace: Pace) -> float:
    """The time of all parts together: a little more than the longest.

    Parts that take about as long delay one another. The power is chosen to fit the
    virtual NPU.
    """
    longest = max(pace)
    powers = math.fsum((one / longest) ** 12 for one in pace)
    return longest * math.pow(powers, 1 / 12)


class _Model:
    """Seconds of the parts of a plan's runs."""

    def __init__(self, plan: Plan, times: Timing, arithmetic: str):
        self.plan, self.array, self.times = plan, plan.array, times
        self.calls = {
            call.name.split("_")[0]: call.cycles
            for call in kernel_calls(plan.array, times, arithmetic)
        }

    def launch(self, is_chained: bool) -> float:
        times = self.times
        cycles = times.chained_launch if is_chained else times.launch
        host = 0.0 if is_chained else times.launch_seconds
        return host + cycles / times.clock_hz

    def pace(self, run: Run) -> Pace:
        times = self.times
        fills, parameters = self._head_cycles()
        first = fills + self._first_slot_cycles()
        drain = self._drain_cycles(run)
        stalls, ddr_stalls = self._stall_cycles(run, drain)
        inside = max(first, fills + parameters) + drain + self._last_c_cycles() + stalls
        # DDR and shims are at work from the first fill to the last drain.
        outside = fills + self._step_cycles() + self._last_c_cycles() + ddr_stalls
        # No wait for a token ends before the first one's own time.
        words = 2 * fills + parameters + times.first_sync
        rest, moves = self._passed_over_cycles(run), self._moves(run)
        inside, outside, words = inside + rest, outside + rest, words + rest
        return Pace(
            controller=words / times.clock_hz,
            cores=(run.num_tiles * self._tile_cycles() + inside) / times.clock_hz,
            streams=(run.num_tiles * self._stream_cycles() + inside) / times.clock_hz,
            shims=(self._shim_cycles(*moves) + outside) / times.clock_hz,
            ddr=self._ddr_seconds(*moves) + outside / times.clock_hz,
        )

    # Cores.

    def _tile_cycles(self) -> float:
        """One tile of C on a core."""
        array, times = self.array, self.times
        call = times.kernel_call
        tile = self.plan.k_steps * self._step_cycles()
        tile += TILE_INSTRUCTIONS * times.core_instruction
        if "zero" in self.calls:
            tile += self.calls["zero"] + call
        if "convert" in self.calls:
            tile += array.parts * (self.calls["convert"] + call)
        # The next sums begin when C has left, or when they are converted into it. A
        # part of C leaves while the other parts are summed.
        if array.num_c_buffers == 1 and array.out == array.sums and array.parts == 1:
            tile += self._c_cycles()
        return tile

    def _step_cycles(self) -> float:
        """One k step on a core."""
        calls = self.array.parts * (self.calls["matmul"] + self.times.kernel_call)
        return calls + STEP_INSTRUCTIONS * self.times.core_instruction

    def _last_c_cycles(self) -> float:
        """What is left of C on its way to the memtile after the last k step."""
        return self._c_cycles() / self.array.parts

    def _c_cycles(self) -> float:
        """C of a core on its way to the memtile."""
        array = self.array
        return (
            array.m
            * array.n
            * array.out_bytes
            / WORD_BYTES
            * (self.times.cycles_per_word)
        )

    # Streams: a word or two in a cycle on each.

    def _stream_cycles(self) -> float:
        array = self.array
        k = self.plan.padded_k
        words = max(array.m * k, k * array.n) * INPUT_BYTES / WORD_BYTES
        c_words = array.block_m * array.n * array.out_bytes / WORD_BYTES
        return max(words, c_words) * self.times.cycles_per_word

    # Shims.

    def _shim_cycles(self, a: "_Moved", b: "_Moved", c: "_Moved") -> float:
        """The busiest shim: its channels, or the runs of bytes of a direction."""
        times, columns = self.times, self.array.num_columns
        read, write = times.shim_mm2s_cycles_per_word, times.shim_s2mm_cycles_per_word
        a_words = a.num_bytes / len(self.array.a_columns) / WORD_BYTES
        b_words, c_words = (x.num_bytes / columns / WORD_BYTES for x in (b, c))
        a_runs = a.run_cycles / len(self.array.a_columns)
        return max(
            read * max(a_words, b_words),
            write * c_words,
            a_runs + b.run_cycles / columns,
            c.run_cycles / columns,
        )

    def _ddr_seconds(self, a: "_Moved", b: "_Moved", c: "_Moved") -> float:
        reads, writes = a.line_bytes + b.line_bytes, c.line_bytes
        rate = self.times.ddr_bytes_per_second
        if self.times.ddr_directions_shared:
            return (reads + writes) / rate
        return max(reads, writes) / rate

    def _moves(self, run: Run) -> tuple["_Moved", "_Moved", "_Moved"]:
        """What the shims move of A, B and C in a run."""
        images = self.plan.images(run)
        a_loads, b_loads = run.loads()
        a = _moved(images.a, a_loads * self.array.num_rows, self.times)
        b = _moved(images.b, b_loads * self.array.num_columns, self.times)
        c = _moved(images.c, run.num_tiles * self.array.num_columns, self.times)
        return a, b, c

    # Start and end.

    def _head_cycles(self) -> tuple[float, float]:
        """The controller's words for the first fills, and for the cores' parameters."""
        array, times = self.array, self.times
        bd = times.blockwrite + 8 * times.blockwrite_word + times.patch + times.write
        num_fills = len(array.a_columns) + array.num_columns
        cores = array.num_columns * array.num_rows
        parameters = len(CoreParameters(1, 1).words(array)) * times.write
        return num_fills * bd, cores * (parameters + times.lock_write)

    def _first_slot_cycles(self) -> float:
        """A slot of each operand from DDR through a memtile to the cores."""
        array, times = self.array, self.times
        per_column = max(array.m, array.n) * array.slice_k * INPUT_BYTES
        all_bytes = (
            (len(array.a_columns) * array.m + array.num_columns * array.n)
            * array.slice_k
            * INPUT_BYTES
        )
        from_ddr = max(
            per_column / WORD_BYTES * times.shim_mm2s_cycles_per_word,
            all_bytes / times.ddr_bytes_per_second * times.clock_hz,
        )
        tile = max(array.part_m, array.n) * array.k * INPUT_BYTES
        return from_ddr + tile / WORD_BYTES * times.cycles_per_word

    def _passed_over_cycles(self, run: Run) -> float:
        """Slices at the end that bring a resident operand's ring to its beginning."""
        count = passes_over(self.array, run, self.plan.k_steps)
        if count == 0:
            return 0.0
        array, times = self.array, self.times
        free = array.m if array.resident == "a" else array.n
        slot_bytes = free * array.slice_k * INPUT_BYTES
        of_all = slot_bytes * len(memtile_columns(array))
        return count * max(
            slot_bytes / WORD_BYTES * times.shim_mm2s_cycles_per_word,
            of_all / times.ddr_bytes_per_second * times.clock_hz,
        )

    def _drain_cycles(self, run: Run) -> float:
        """C of a block from the memtiles to DDR."""
        array, times = self.array, self.times
        c_bytes = array.block_m * array.block_n * array.out_bytes
        last = _moved(self.plan.images(run).c, array.num_columns, times)
        return max(
            c_bytes / array.num_columns / WORD_BYTES * times.shim_s2mm_cycles_per_word,
            last.run_cycles / array.num_columns,
            last.line_bytes / times.ddr_bytes_per_second * times.clock_hz,
        )

    def _stall_cycles(self, run: Run, drain: float) -> tuple[float, float]:
        """What cores wait for where an operand is resident, and DDR without work."""
        array = self.array
        if not run.resident or array.replays > 1:
            return 0.0, 0.0
        # C of a period's first pass and of its last is waited for, and then locks are
        # written. The next period begins with empty memtiles.
        slots = array.slots[array.resident] * len(memtile_columns(array))
        locks, periods = slots * self.times.lock_write, run.num_periods
        waits = 2 * periods - 1
        quiet = waits * self._last_c_cycles() + 2 * periods * locks
        quiet += (periods - 1) * self._head_cycles()[0]
        busy = waits * drain + (periods - 1) * self._first_slot_cycles()
        return quiet + busy, quiet


class _Moved(NamedTuple):
    """What shims move of an operand.

    Args:
      line_bytes: whole lines of DDR.
      run_cycles: to begin all runs of bytes, one after the other.
    """

    num_bytes: float
    line_bytes: float
    run_cycles: float


def _moved(image: OperandImage, transfers: int, times: Timing) -> _Moved:
    """So many transfers of an image's block, as `aie/sim/engine/dma/ddr.cc` counts."""
    run, strides = _run(image)
    sizes = math.prod(image.sizes) * image.element_bytes
    strides += [image.core_stride * image.element_bytes]
    alignment = LINE_BYTES
    for stride in strides:
        alignment = math.gcd(alignment, stride)
    step = alignment
    lines = 1 + (step * -(-run // step) - step) / LINE_BYTES
    whole = max(0.0, (step * (run // step) + step) / LINE_BYTES - 1)
    runs = transfers * sizes / run
    cycles = times.run_cycles + (lines - whole) * times.partial_line_cycles
    return _Moved(transfers * sizes, runs * lines * LINE_BYTES, runs * cycles)


def _run(image: OperandImage) -> tuple[int, list[int]]:
    """Consecutive bytes of an image's transfers, and the strides between them."""
    run, strides, joined = 1, [], True
    for size, stride in zip(reversed(image.sizes), reversed(image.strides)):
        if size == 1:
            continue
        if joined and stride == run:
            run *= size
        else:
            joined = False
            strides.append(stride * image.element_bytes)
    return run * image.element_bytes, strides
