"""What the stream tells every core about a run, and where a core keeps it."""

from dataclasses import dataclass

from xdna.devices import WORD_BYTES
from xdna.gemm.array import (
    NUM_K_STEPS_PARAMETER,
    NUM_TILES_PARAMETER,
    GemmArray,
)


@dataclass(frozen=True)
class Field:
    """Bits of a word."""

    shift: int
    bits: int

    @property
    def largest(self) -> int:
        return (1 << self.bits) - 1


# The parameter word of `tiles`. orders: bit 0 for A transposed, bit 1 for B.
FIELDS = {
    "num_tiles": Field(0, 14),
    "k_steps": Field(14, 12),
    "passed_over": Field(26, 4),
    "orders": Field(30, 2),
}


@dataclass(frozen=True)
class CoreParameters:
    """What all cores do in a run.

    Args:
      num_tiles: tiles of C that each core computes.
      k_steps: k tiles that each of them sums.
      passed_over: slices of the resident operand after the last tile, which bring its
        ring back to the first slot.
      orders: bit 0: A's image is (k, m), bit 1: B's image is (n, k).
    """

    num_tiles: int
    k_steps: int
    passed_over: int = 0
    orders: int = 0

    def words(self, array: GemmArray) -> dict[int, int]:
        """By address in a core's memory."""
        address = array.core_buffers["parameters"].address
        if not array.is_tiled:
            return {
                address + WORD_BYTES * NUM_TILES_PARAMETER: self.num_tiles,
                address + WORD_BYTES * NUM_K_STEPS_PARAMETER: self.k_steps,
            }
        word = 0
        for name, field in FIELDS.items():
            value = getattr(self, name)
            assert 0 <= value <= field.largest, f"{name} = {value}"
            word |= value << field.shift
        return {address: word}

    @classmethod
    def from_words(cls, array: GemmArray, words: dict[int, int]) -> "CoreParameters":
        """The inverse of `words`.

        Raises:
          KeyError: with an address that is not written.
        """
        address = array.core_buffers["parameters"].address
        if not array.is_tiled:
            return cls(
                words[address + WORD_BYTES * NUM_TILES_PARAMETER],
                words[address + WORD_BYTES * NUM_K_STEPS_PARAMETER],
            )
        word = words[address]
        values = {
            name: word >> field.shift & field.largest for name, field in FIELDS.items()
        }
        return cls(**values)
