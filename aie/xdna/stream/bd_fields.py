"""The bits of a shim BD and of the word that queues it, and the pattern they describe.

A pattern is four sizes and four strides in words of 4 bytes, outermost first; the
outermost dimension counts iterations, or repeats if its stride is 0.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from xdna.devices import AXCACHE

Four = tuple[int, int, int, int]

# Word, lowest bit, number of bits. AMD AM025, DMA_BD0_0 .. DMA_BD0_7 of the NoC
# module. A step is a stride less 1, a wrap is a size; the iteration's wrap is stored
# less 1, too. D2 has no wrap: the length ends it.
FIELDS = {
    "length": (0, 0, 32),
    "address_low": (1, 0, 32),
    "packet_enable": (2, 30, 1),
    "out_of_order_id": (2, 24, 6),
    "packet_id": (2, 19, 5),
    "packet_type": (2, 16, 3),
    "address_high": (2, 0, 16),
    "d0_wrap": (3, 20, 10),
    "d0_step": (3, 0, 20),
    "burst": (4, 30, 2),
    "d1_wrap": (4, 20, 10),
    "d1_step": (4, 0, 20),
    "axcache": (5, 24, 4),
    "d2_step": (5, 0, 20),
    "iteration_current": (6, 26, 6),
    "iteration_wrap": (6, 20, 6),
    "iteration_step": (6, 0, 20),
    "suppress_tlast": (7, 31, 1),
    "next_bd": (7, 27, 4),
    "use_next": (7, 26, 1),
    "valid": (7, 25, 1),
    "lock_release_value": (7, 18, 7),
    "lock_release_id": (7, 13, 4),
    "lock_acquire_enable": (7, 12, 1),
    "lock_acquire_value": (7, 5, 7),
    "lock_acquire_id": (7, 0, 4),
}

# No transfer of a stream sets these: a BD that does uses locks, which nobody serves,
# continues with another BD, sends packets, or begins within its iterations.
UNUSED = (
    "packet_enable",
    "iteration_current",
    "use_next",
    "lock_acquire_enable",
    "lock_release_value",
)


# A task in a channel's queue: BD in bits 3-0, number of repeats less 1 in 23-16, and
# in 31 whether its end sends a token.
QUEUE_BITS = 0x80FF000F


class QueuedTask(NamedTuple):
    bd_id: int
    repeat: int
    token: bool


def queued_task(value: int) -> QueuedTask:
    """The task that a write to a channel's queue starts."""
    return QueuedTask(value & 0xF, (value >> 16 & 0xFF) + 1, bool(value >> 31))


def unpack(words: Sequence[int]) -> dict[str, int]:
    """The `FIELDS` of a BD's 8 words."""
    return {
        name: words[word] >> shift & (1 << bits) - 1
        for name, (word, shift, bits) in FIELDS.items()
    }


def pattern(fields: dict[str, int]) -> tuple[Four, Four]:
    """Sizes and strides of a BD, with its iterations outermost, in canonical form."""
    length, d0, d1 = (fields[name] for name in ("length", "d0_wrap", "d1_wrap"))
    iterations = fields["iteration_wrap"] + 1
    # The size of the outermost used dimension follows from the length, rounded up.
    if not d0:  # contiguous
        sizes = (iterations, 1, 1, length)
    elif not d1:
        sizes = (iterations, 1, -(-length // d0), d0)
    else:
        sizes = (iterations, -(-length // (d0 * d1)), d1, d0)
    strides = (
        fields["iteration_step"] + 1 if sizes[0] > 1 else 0,
        fields["d2_step"] + 1 if sizes[1] > 1 else 0,
        fields["d1_step"] + 1 if sizes[2] > 1 else 0,
        fields["d0_step"] + 1,
    )
    return sizes, strides


def task_pattern(where: str, words: Sequence[int], repeat: int) -> tuple[Four, Four]:
    """Sizes and strides of a task: those of its BD, with the repeats outermost.

    Raises:
      ValueError: beginning with `where`, if the BD sets one of `UNUSED`, or does not
        move as many words as its dimensions have.
    """
    fields = unpack(words)
    for name in UNUSED:
        if fields[name]:
            raise ValueError(f"{where} sets {name}, which no transfer has")
    if fields["axcache"] != AXCACHE:
        raise ValueError(
            f"{where} must have an axcache of {AXCACHE}, got {fields['axcache']}"
        )
    if fields["d1_wrap"] and not fields["d0_wrap"]:
        raise ValueError(f"{where} wraps D1 at {fields['d1_wrap']}, but D0 nowhere")
    sizes, strides = pattern(fields)
    if prod(sizes[1:]) != fields["length"]:
        raise ValueError(
            f"{where} ends within a run: {fields['length']} words, {sizes=}"
        )
    if sizes[0] > 1 and sizes[0] != repeat:
        raise ValueError(
            f"{where} has {sizes[0]} iterations, but is repeated {repeat} times"
        )
    return (repeat, *sizes[1:]), strides
