"""Tokens that others made: .bin files of nanoGPT and llm.c, and NumPy's .npy."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.data.reading.binary import blocks, open_binary
from gpt2_flax.data.reading.pieces import PIECE_CHARS, Piece
from gpt2_flax.data.sources import Source
from gpt2_flax.errors import InputError

# The header of llm.c's files: 256 words of 32 bits, of which the first two are these
# (dev/data/data_common.py there). As tokens, the first would be beyond GPT-2's.
LLM_C = np.array([20240520, 1], "<u4").tobytes()
LLM_C_HEADER_BYTES = 1024


def bin_pieces(source: Source, num_tokens: int) -> Iterator[Piece]:
    """The tokens of a file of 16-bit numbers, without a header or with llm.c's."""
    offset, rest = 0, b""
    with open_binary(source) as file:
        for block in blocks(file):
            if offset == 0 and block.startswith(LLM_C):
                block = block[LLM_C_HEADER_BYTES:]
            data = rest + block
            rest = data[len(data) // 2 * 2 :]
            ids = np.frombuffer(data, "<u2", len(data) // 2)
            yield from ids_pieces(source, ids, offset, num_tokens)
            offset += len(ids)
    if rest:
        raise InputError(
            f"{source.name} should have 16-bit tokens, and has an odd number of bytes; "
            "it is cut off, or is no file of tokens."
        )


def npy_pieces(source: Source, num_tokens: int) -> Iterator[Piece]:
    try:
        ids = np.load(source.path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, TypeError, SyntaxError) as e:
        reason = str(e).splitlines()[0].rstrip(".")
        raise InputError(f"{source.name} is no .npy file: {reason}.") from None
    if not isinstance(ids, np.ndarray) or ids.ndim != 1 or ids.dtype.kind not in "iu":
        what = f"{ids.dtype} of shape {ids.shape}" if hasattr(ids, "dtype") else "more"
        raise InputError(
            f"{source.name} should be one row of integers, and holds {what}."
        )
    for start in range(0, len(ids), PIECE_CHARS):
        part = np.asarray(ids[start : start + PIECE_CHARS])
        yield from ids_pieces(source, part, start, num_tokens)


def ids_pieces(
    source: Source, ids: NDArray[np.integer], offset: int, num_tokens: int
) -> Iterator[Piece]:
    if not len(ids):
        return
    wrong = (ids < 0) | (ids >= num_tokens)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{source.name} has token {ids[first]} at index {offset + first}, and the "
            f"tokenizer only those below {num_tokens}; give its own with --tokenizer."
        )
    yield Piece(ids.astype(np.uint32))
