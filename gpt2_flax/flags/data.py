"""Flags of the data: the text, and what a step takes of it."""

from dataclasses import dataclass

from gpt2_flax.data import PYTHON_DOCS
from gpt2_flax.flags.field import flag, require


@dataclass(frozen=True)
class DataFlags:
    data: str = flag(
        PYTHON_DOCS, "UTF-8 text file, or the documentation inside CPython"
    )
    batch_size: int = flag(8, "with --seq-len: tokens per step; memory grows with both")
    seq_len: int = flag(64, "tokens that attention sees")

    def check(self) -> None:
        for name in ["batch_size", "seq_len"]:
            require(self, name, getattr(self, name) >= 1, "at least 1")
