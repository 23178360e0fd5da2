"""Changes of a working stream or configuration, each in one place."""

import re

from xdna.stream.instructions import BlockWrite, tile_address

A_QUEUE, B_QUEUE, C_QUEUE = 0x1D214, 0x1D21C, 0x1D204  # task queues of column 0
GO = tile_address(0, 2, 0x1F060)
ACQUIRE = 9  # the lock's position in a configuration's bd lines


def index_of(stream, kind, count=0, **fields):
    """The index of the count-th operation of a kind with those fields."""
    found = [
        i
        for i, operation in enumerate(stream)
        if isinstance(operation, kind)
        and all(getattr(operation, name) == value for name, value in fields.items())
    ]
    return found[count]


def change_bd(stream, word, value):
    """Changes a word of BD 4 of column 0, which is B's in the first step."""
    at = index_of(stream, BlockWrite, address=0x1D080)
    data = list(stream[at].data)
    data[word] = value(data[word])
    stream[at] = stream[at]._replace(data=tuple(data))


def replace(text, old, new):
    """The text, with the first line that matches `old` replaced by `new`."""
    changed, count = re.subn(f"(?m)^{old}$", new, text, count=1)
    assert count == 1
    return changed


def without_lock(text, tile, name, field):
    """The text, in which the BDs of a tile no longer acquire, or release, that lock.

    `field` is `ACQUIRE` or the position of the release in a `bd` line.
    """
    lock = str(lock_index(text, name))
    lines = [line.split() for line in text.splitlines()]
    for words in lines:
        if words[0] == "bd" and words[1:3] == tile.split() and words[field] == lock:
            words[field : field + 2] = ["-1", "0"]
    return "\n".join(map(" ".join, lines))


def lock_index(text, name):
    names = [line.split()[-1] for line in text.splitlines() if line.startswith("lock ")]
    return names.index(name)
