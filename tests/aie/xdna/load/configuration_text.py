"""The lines of a configuration, read back by the description of the format."""

import dataclasses
from pathlib import Path

import numpy as np

from xdna.dialect.text import parse_module

DATA = Path(__file__).parents[1] / "data"
SAMPLE = (DATA / "sample.mlir").read_text()


def words_of(text, kind):
    """The words of each line of a kind; numbers as int."""
    lines = [line.split() for line in text.splitlines()]
    return [
        [int(word) if word.lstrip("-").isdigit() else word for word in line[1:]]
        for line in lines
        if line[0] == kind
    ]


def edited(*edits):
    """The sample as a module, with each text replaced where it first occurs."""
    text = SAMPLE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return parse_module(text)


@dataclasses.dataclass
class Bd:
    """The fields of a `bd` line."""

    tile: tuple
    id: int
    memory: tuple
    address: int
    length: int
    next: int
    acquire: tuple
    release: tuple
    dims: list
    pads: list

    @classmethod
    def read(cls, words):
        (column, row, id, memory_column, memory_row, address, length), rest = (
            words[:7],
            words[7:],
        )
        next, *locks = rest[:5]
        tail = iter(rest[5:])
        dims, pads = (
            [(next_word(tail), next_word(tail)) for _ in range(next_word(tail))]
            for _ in "dp"
        )
        assert next_word(tail, None) is None
        tile, memory = (column, row), (memory_column, memory_row)
        return cls(
            tile,
            id,
            memory,
            address,
            length,
            next,
            tuple(locks[:2]),
            tuple(locks[2:]),
            dims,
            pads,
        )

    def words(self):
        """Word addresses of the buffer's tile in the order of the transfer."""
        order = np.array([self.address // 4])
        for size, stride in self.dims or [(self.length, 1)]:
            order = (order[:, None] + np.arange(size) * stride).reshape(-1)
        assert order.size == self.length
        return order


def next_word(words, *default):
    return next(words, *default)


def bds_of(text):
    return [Bd.read(words) for words in words_of(text, "bd")]
