"""An instruction stream as events of shim DMAs, each operation checked on its own.

Registers, addresses, BDs and extents are judged here, by the rules of the strictest
device: a stream may only write shim BDs, shim queues and controls, locks, and data
memory of cores. `check` judges what depends on time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xdna.devices import (
    CONTROLLER_BITS,
    MAX_LOCK_VALUE,
    SHIM,
    SHIM_ROW,
    WORD_BYTES,
    Device,
)
from xdna.stream.bd_fields import QUEUE_BITS, queued_task, task_pattern, unpack
from xdna.stream.instructions import (
    BlockWrite,
    DdrPatch,
    LoadPdi,
    Located,
    MaskWrite,
    Operation,
    Preempt,
    Sync,
    Write,
    split_address,
)
from xdna.stream.registers import Register, register_at

ALL_BITS = 0xFFFFFFFF
ADDRESS_WORDS = {1, 2}  # the words of a BD that a patch writes


class Channel(NamedTuple):
    """A channel of a shim's DMA."""

    column: int
    direction: str
    channel: int

    def __str__(self) -> str:
        return f"shim ({self.column}, 0) {self.direction} {self.channel}"


@dataclass
class Task:
    """A transfer that is pushed into the queue of a channel."""

    word: int  # index of the push in the stream
    channel: Channel
    bd_id: int
    num_words: int
    token: bool
    # Position of its last word among all words that the channel moves, from 1.
    last_word: int = 0

    def __str__(self) -> str:
        return f"word {self.word}: {self.channel} BD {self.bd_id}"


class Touch(NamedTuple):
    """A BD of a shim is written or patched."""

    word: int
    column: int
    bd_id: int


class Await(NamedTuple):
    """The controller waits for a token of the channel."""

    word: int
    channel: Channel


class Reload(NamedTuple):
    """Another configuration replaces everything on the array."""

    word: int


Event = Task | Touch | Await | Reload


def read_events(
    stream: Sequence[Located],
    device: Device,
    num_arguments: int,
    argument_bytes: Sequence[int] | None,
) -> list[Event]:
    """The events of a decoded stream.

    Raises:
      ValueError: with the word of the first operation that breaks a rule by itself.
    """
    reader = _Reader(device, num_arguments, argument_bytes)
    for word, operation in stream:
        reader.read(word, operation)
    return reader.events


@dataclass
class _Bd:
    """A BD as the stream has written it so far."""

    words: list[int] = field(default_factory=lambda: [0] * SHIM.dma.bd_words)
    written: set[int] = field(default_factory=set)  # their indices
    patch: DdrPatch | None = None


@dataclass
class _Reader:
    """The state of the shims' DMAs after the operations read so far."""

    device: Device
    num_arguments: int
    argument_bytes: Sequence[int] | None
    bds: dict[tuple[int, int], _Bd] = field(default_factory=dict)  # by column and id
    senders: set[Channel] = field(default_factory=set)  # their tokens have an address
    events: list[Event] = field(default_factory=list)

    def read(self, word: int, operation: Operation) -> None:
        match operation:
            case Write(address, value):
                self.write(word, address, value, ALL_BITS)
            case MaskWrite(address, value, mask):
                self.write(word, address, value, mask)
            case BlockWrite(address, data):
                for i, value in enumerate(data):
                    self.write(word, address + WORD_BYTES * i, value, ALL_BITS)
            case DdrPatch():
                self.patch(word, operation)
            case Sync():
                self.sync(word, operation)
            case LoadPdi():  # what was written before is lost
                self.bds.clear()
                self.senders.clear()
                self.events.append(Reload(word))
            case Preempt():
                pass

    def write(self, word: int, address: int, value: int, mask: int) -> None:
        column, row, register = self.locate(word, address)
        tile = f"{self.device.tile(column, row).name} ({column}, {row})"
        if register.what in ("bd", "queue", "control") and row != SHIM_ROW:
            raise ValueError(
                f"word {word}: {tile} {register} cannot be written at run time"
            )
        channel = Channel(column, register.direction, register.number)
        match register.what:
            case "lock":
                if value & mask > MAX_LOCK_VALUE or mask != ALL_BITS:
                    raise ValueError(
                        f"word {word}: {tile} {register} must be set to "
                        f"0-{MAX_LOCK_VALUE}, got {value}"
                    )
            case "bd":
                self.write_bd(word, column, register, value, mask)
            case "control":
                if mask != CONTROLLER_BITS:
                    raise ValueError(
                        f"word {word}: of {channel} control only the controller id "
                        f"may be set, by a mask of {CONTROLLER_BITS:#x}, got {mask:#x}"
                    )
                self.senders.add(channel)
            case "queue":
                if mask != ALL_BITS or value & ~QUEUE_BITS:
                    raise ValueError(
                        f"word {word}: {channel} is pushed {value:#x}, which is not a "
                        "task"
                    )
                self.push(word, channel, value)

    def write_bd(
        self, word: int, column: int, register: Register, value: int, mask: int
    ) -> None:
        bd = self.bds.setdefault((column, register.number), _Bd())
        old = bd.words[register.word] & ~mask
        bd.words[register.word] = old | value & mask
        bd.written.add(register.word)
        if register.word in ADDRESS_WORDS:
            bd.patch = None
        self.touch(word, column, register.number)

    def locate(self, word: int, address: int) -> tuple[int, int, Register]:
        column, row, offset = split_address(address)
        try:
            kind = self.device.tile(column, row)
        except ValueError as error:
            raise ValueError(f"word {word}: {error}") from None
        register = register_at(kind, offset)
        if register is None:
            raise ValueError(
                f"word {word}: {kind.name} ({column}, {row}) address {offset:#x} "
                "cannot be written at run time"
            )
        return column, row, register

    def touch(self, word: int, column: int, bd_id: int) -> None:
        # A BLOCKWRITE touches its BD once, not once for each word.
        event = Touch(word, column, bd_id)
        if not self.events or self.events[-1] != event:
            self.events.append(event)

    def patch(self, word: int, patch: DdrPatch) -> None:
        column, row, register = self.locate(word, patch.address)
        if row != SHIM_ROW or register.what != "bd" or register.word != 1:
            raise ValueError(
                f"word {word}: a patch must go to word 1 of a shim BD, "
                f"got ({column}, {row}) {register}"
            )
        where = f"word {word}: shim ({column}, 0) BD {register.number}"
        if patch.argument >= self.num_arguments:
            raise ValueError(
                f"{where} is patched with argument {patch.argument}, "
                f"the run has {self.num_arguments}"
            )
        if patch.offset_bytes % WORD_BYTES:
            raise ValueError(
                f"{where} must start at a multiple of {WORD_BYTES} bytes, "
                f"got {patch.offset_bytes}"
            )
        bd = self.bds.setdefault((column, register.number), _Bd())
        bd.patch = patch
        bd.written |= ADDRESS_WORDS
        self.touch(word, column, register.number)

    def push(self, word: int, channel: Channel, value: int) -> None:
        bd_id, repeat, token = queued_task(value)
        if token and channel not in self.senders:
            raise ValueError(
                f"word {word}: {channel} is asked for a token before "
                "its controller id is set"
            )
        where = f"word {word}: {channel} BD {bd_id}"
        num_words = self.pushed_words(where, channel.column, bd_id, repeat)
        self.events.append(Task(word, channel, bd_id, num_words, token))

    def pushed_words(self, where: str, column: int, bd_id: int, repeat: int) -> int:
        """Number of words that a task of that BD moves, after checking the BD."""
        bd = self.bds.get((column, bd_id), _Bd())
        # A patch stands for the address, so the other words must have been written.
        if len(bd.written - ADDRESS_WORDS) < SHIM.dma.bd_words - len(ADDRESS_WORDS):
            raise ValueError(f"{where} is pushed, but was never written")
        if bd.patch is None:
            raise ValueError(f"{where} is pushed, but its address was never patched")
        fields = unpack(bd.words)
        if not fields["valid"] or not fields["length"]:
            raise ValueError(f"{where} is pushed, but is not valid or has no length")
        if fields["burst"] > self.device.burst_code:
            raise ValueError(
                f"{where} must have a burst code of 0-{self.device.burst_code}, "
                f"got {fields['burst']}"
            )
        sizes, strides = task_pattern(where, bd.words, repeat)
        if self.argument_bytes is not None:
            # words from the first to the last of the pattern
            span = sum((size - 1) * stride for size, stride in zip(sizes, strides)) + 1
            end = bd.patch.offset_bytes + WORD_BYTES * span
            if end > self.argument_bytes[bd.patch.argument]:
                raise ValueError(
                    f"{where} reaches byte {end} of argument {bd.patch.argument}, "
                    f"which has {self.argument_bytes[bd.patch.argument]}"
                )
        return fields["length"] * repeat

    def sync(self, word: int, sync: Sync) -> None:
        if sync.row != SHIM_ROW or sync.num_rows != 1 or not sync.num_columns:
            raise ValueError(
                f"word {word}: only shims send tokens, the sync is for {sync.num_rows} "
                f"rows from {sync.row} and {sync.num_columns} columns"
            )
        for column in range(sync.column, sync.column + sync.num_columns):
            channel = Channel(column, sync.direction, sync.channel)
            if column >= self.device.num_columns or sync.channel >= SHIM.dma.num_mm2s:
                raise ValueError(f"word {word}: {self.device.name} has no {channel}")
            self.events.append(Await(word, channel))
