"""The files of a token store, written from the first piece to the last."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from gpt2_flax.data.encoding import Encoded, encode_pieces
from gpt2_flax.data.reading.read import TOKEN_KINDS, read_pieces
from gpt2_flax.data.sources import Source
from gpt2_flax.data.store import CHUNK, complete
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import Tokenizer
from gpt2_flax.tokenizers.protocol import require_end

Advance = Callable[[int], object]  # takes a number of bytes


def write_tokens(
    folder: Path, sources: list[Source], tokenizer: Tokenizer, advance: Advance
) -> None:
    """Writes a token store to an empty folder.

    Of a single text only its own tokens are kept. Of several documents, each begins
    with the token that ends a text, and one more ends the last.
    """
    end = tokenizer.end_of_text
    dtype = np.dtype(np.uint16 if tokenizer.num_tokens <= 1 << 16 else np.uint32)
    num_documents = 0
    with Files(folder, dtype) as files:
        for encoded in encode_pieces(read_pieces(sources, tokenizer), tokenizer):
            num_documents += encoded.num_documents
            if num_documents > 1:
                require_end(tokenizer)
            files.write(encoded)
            advance(encoded.num_bytes)
        if not files.size:
            names = ", ".join(dict.fromkeys(source.name for source in sources))
            raise InputError(f"{names} is empty; give a file with text.")
        first = 0
        if end is not None and not any(s.kind in TOKEN_KINDS for s in sources):
            if num_documents > 1:
                files.write(files.one_more(end))
            else:
                first = 1
        files.flush()
    size, has_mask = files.size, files.mask is not None
    complete(folder, dtype, size, slice(first, size), end, num_documents, has_mask)


class Files:
    """`tokens`, and `loss_mask` from the first token on that does not count."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self.folder = folder
        self.dtype = dtype
        self.size = 0  # tokens written
        self.tokens = (folder / "tokens").open("wb")
        self.mask: IO[bytes] | None = None
        self._last_counts = True

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *_: object) -> None:
        self.tokens.close()
        if self.mask is not None:
            self.mask.close()

    def write(self, encoded: Encoded) -> None:
        if not len(encoded.ids):
            return
        self.tokens.write(encoded.ids.astype(self.dtype))
        counts = encoded.counts
        if counts is None:
            counts = np.ones(len(encoded.ids), bool)
        if encoded.counts is not None and self.mask is None:
            self._begin_mask()
        if self.mask is not None:
            self.mask.write(counts)
        self._last_counts = bool(counts[-1])
        self.size += len(encoded.ids)

    def one_more(self, token: int) -> Encoded:
        """A token whose loss counts if that of the last one does."""
        counts = None if self._last_counts else np.zeros(1, bool)
        return Encoded(np.array([token], np.uint32), counts, 0, 0)

    def flush(self) -> None:
        """Brings the files to the disk, so that a power cut leaves no part of them."""
        for file in (self.tokens, self.mask):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())

    def _begin_mask(self) -> None:
        self.mask = (self.folder / "loss_mask").open("wb")
        for start in range(0, self.size, CHUNK):
            self.mask.write(np.ones(min(CHUNK, self.size - start), bool))
