"""Flags of the data: the text, and what a step takes of it."""

from dataclasses import dataclass

from gpt2_flax.data import BATCHES, PYTHON_DOCS
from gpt2_flax.data.text import VALIDATION_SHARE
from gpt2_flax.flags.field import flag, require


@dataclass(frozen=True)
class DataFlags:
    data: tuple[str, ...] = flag(
        (PYTHON_DOCS,),
        "texts: files, folders or patterns of them (.txt and .md in UTF-8, .jsonl and "
        ".parquet with text, prompt and completion, or messages, .bin and .npy with "
        "tokens, also .gz, .bz2, .xz and .zst), - for standard input, or the "
        "documentation inside CPython",
        str,
        brief="files, folders, or -",
    )
    validation: tuple[str, ...] = flag(
        (), f"the same for validation, instead of the last {VALIDATION_SHARE:.0%}", str
    )
    tokenizer: str | None = flag(
        None,
        "gpt2, bytes, chars (the characters of the text), or a folder with a "
        "tokenizer.json (default: that of --weights, else gpt2)",
        str,
        brief="gpt2, bytes, chars, or a folder",
    )
    batches: str = flag(
        "documents",
        "documents: epochs of whole documents, several in a row, none of which attends "
        "to another; stream: epochs of all documents as one text; windows: places at "
        "random in that, as in nanoGPT",
        before="windows",
    )
    batch_size: int = flag(
        8,
        "rows of a step. With --seq-len: tokens per step; memory grows with both",
        brief="rows in a step; memory grows with it",
    )
    seq_len: int = flag(
        64, "tokens that attention sees", brief="tokens in a row; memory grows with it"
    )

    def check(self) -> None:
        for name in ["batch_size", "seq_len"]:
            require(self, name, getattr(self, name) >= 1, "at least 1")
        known = self.batches in BATCHES
        require(self, "batches", known, f"one of {', '.join(BATCHES)}")
