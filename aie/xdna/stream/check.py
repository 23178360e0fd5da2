"""The check that a stream is safe to run: that silicon would neither hang nor corrupt.

The events of a stream are played in order, with a record of the tasks that may still be
in flight. A task is known to be done when

* a token of it, or of a later task on its channel, was awaited, or
* it feeds an output that is done. The array takes its inputs in order and in one fixed
  proportion to its output, and ends the stream with nothing left over. So if an S2MM
  channel is known to have written w of the W words that it writes in all, an MM2S
  channel that feeds it and sends V words in all has sent w V / W of them, and its tasks
  within these are done, however far inputs are pushed ahead.
"""

from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from xdna.devices import QUEUE_DEPTH, Device
from xdna.stream.decoding import decode
from xdna.stream.events import (
    Await,
    Channel,
    Event,
    Reload,
    Task,
    Touch,
    read_events,
)


def check_stream(
    words: ArrayLike,
    device: Device,
    num_arguments: int = 3,
    argument_bytes: Sequence[int] | None = None,
    fed_by: Mapping[tuple[int, int], Sequence[tuple[int, int]]] | None = None,
) -> None:
    """Checks a stream for a device.

    Args:
      num_arguments: number of buffers that the run has.
      argument_bytes: their sizes; no transfer may leave them.
      fed_by: for (column, S2MM channel) the (column, MM2S channel)s that its output
        is made from. Without it, only a token of its channel proves that an MM2S task
        is done.

    Raises:
      ValueError: in one line, with word, tile, channel and BD of the first violation.
    """
    header, stream = decode(words)
    if header.device != device:
        raise ValueError(
            f"word 0: the stream is for {header.device.name}, not {device.name}"
        )
    if argument_bytes is not None:
        num_arguments = len(argument_bytes)
    events = read_events(stream, device, num_arguments, argument_bytes)
    _Player(events, fed_by or {}).play(events)


class _Player:
    """The tasks that may be in flight."""

    def __init__(
        self,
        events: Sequence[Event],
        fed_by: Mapping[tuple[int, int], Sequence[tuple[int, int]]],
    ) -> None:
        # Tasks not known to be done, and tasks whose token was not yet awaited, both
        # from the oldest to the newest.
        self.tasks: dict[Channel, list[Task]] = {}
        self.tokens: dict[Channel, list[Task]] = {}
        self.total: dict[Channel, int] = {}  # words that it moves in the whole stream
        self.feeders = {
            Channel(column, "S2MM", channel): [
                Channel(c, "MM2S", i) for c, i in feeders
            ]
            for (column, channel), feeders in fed_by.items()
        }
        for event in events:
            if isinstance(event, Task):
                before = self.total.get(event.channel, 0)
                event.last_word = self.total[event.channel] = before + event.num_words

    def play(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Task():
                    self.push(event)
                case Touch(word, column, bd_id):
                    self.touch(word, column, bd_id)
                case Await(word, channel):
                    self.await_token(word, channel)
                case Reload(word):
                    if task := self.any_task():
                        raise ValueError(
                            f"word {word}: LOADPDI, but {task} may be in flight"
                        )
        self.end()

    def push(self, task: Task) -> None:
        if task.token:
            self.tokens.setdefault(task.channel, []).append(task)
        tasks = self.tasks.setdefault(task.channel, [])
        tasks.append(task)
        if len(tasks) > QUEUE_DEPTH:
            raise ValueError(
                f"{task} overflows its queue of {QUEUE_DEPTH}: "
                f"{tasks[0]} may be in flight"
            )

    def touch(self, word: int, column: int, bd_id: int) -> None:
        for channel, tasks in self.tasks.items():
            for task in tasks:
                if channel.column == column and bd_id == task.bd_id:
                    raise ValueError(
                        f"word {word}: shim ({column}, 0) BD {bd_id} is rewritten, "
                        f"but {task} may be in flight"
                    )

    def await_token(self, word: int, channel: Channel) -> None:
        if not self.tokens.get(channel):
            raise ValueError(
                f"word {word}: no task of {channel} sends the token awaited here"
            )
        done = self.tokens[channel].pop(0)
        self.prove(channel, done.last_word, 1)
        for feeder in self.feeders.get(channel, ()):
            # w V / W words sent, as a fraction to stay exact
            sent = done.last_word * self.total.get(feeder, 0)
            self.prove(feeder, sent, self.total[channel])

    def prove(self, channel: Channel, numerator: int, denominator: int) -> None:
        """Records that the channel has moved numerator / denominator words."""
        tasks = self.tasks.get(channel, [])
        while tasks and tasks[0].last_word * denominator <= numerator:
            del tasks[0]

    def end(self) -> None:
        for channel, tasks in self.tasks.items():
            if tasks and channel.direction == "S2MM":
                raise ValueError(f"{tasks[0]} is never synced")
        for tasks in self.tokens.values():
            if tasks:
                raise ValueError(f"{tasks[0]} sends a token that is never awaited")

    def any_task(self) -> Task | None:
        return next((tasks[0] for tasks in self.tasks.values() if tasks), None)
