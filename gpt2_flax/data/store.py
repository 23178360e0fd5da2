"""Tokens on disk, in a folder that is written once and then memory-mapped.

`tokens` holds N numbers of 16 or 32 bits, `loss_mask` N bytes where some do not count,
`starts.npy` where documents start, and `meta.json`, without which a folder is none.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.data.statistics import entropy_of

FORMAT = 1
CHUNK = 1 << 22  # tokens read at a time


class TokenStore(NamedTuple):
    folder: Path
    tokens: NDArray[np.uint16] | NDArray[np.uint32]  # (N,)
    loss_mask: NDArray[np.bool_] | None  # (N,): whether a token counts as a target
    starts: NDArray[np.int64]  # (D,), rising: the first token of each document
    num_documents: int
    sha256: str  # of the tokens as int32, by which runs know their text
    entropy: float  # see unigram_entropy


def open_store(folder: Path) -> TokenStore | None:
    """The store in `folder`, None if there is none or it is damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        dtype = np.dtype(meta["dtype"])
        all_tokens = mapped(folder / "tokens", dtype, meta["num_written"])
        mask = None
        if meta["has_mask"]:
            mask = mapped(folder / "loss_mask", np.dtype(bool), meta["num_written"])
        part = slice(meta["first"], meta["last"])
        return TokenStore(
            folder,
            all_tokens[part],
            None if mask is None else mask[part],
            np.load(folder / "starts.npy", mmap_mode="r"),
            meta["num_documents"],
            meta["sha256"],
            meta["entropy"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def mapped(path: Path, dtype: np.dtype[Any], size: int) -> NDArray[Any]:
    """The file as (size,); ValueError if it is shorter."""
    return np.memmap(path, dtype, "r", shape=(size,))


def complete(
    folder: Path,
    dtype: np.dtype[Any],
    num_written: int,
    part: slice,
    end_of_text: int | None,
    num_documents: int,
    has_mask: bool,
) -> None:
    """Adds what follows from the tokens in `part`; `meta.json` comes last."""
    sha256 = hashlib.sha256()
    counts = np.zeros(0, np.int64)
    starts = [np.zeros(1, np.int64)]
    size = part.stop - part.start
    for first in range(0, size, CHUNK):
        # Read, not mapped: pages that are mapped count as this process's memory.
        chunk = np.fromfile(
            folder / "tokens",
            dtype,
            min(CHUNK, size - first),
            offset=(part.start + first) * dtype.itemsize,
        )
        sha256.update(chunk.astype(np.int32))
        found = np.bincount(chunk)
        longer, shorter = sorted((counts, found), key=len, reverse=True)
        counts = longer.copy()
        counts[: len(shorter)] += shorter
        if end_of_text is not None:
            starts.append(first + np.flatnonzero(chunk == end_of_text))
    np.save(folder / "starts.npy", np.unique(np.concatenate(starts)))
    meta = {
        "format": FORMAT,
        "dtype": dtype.name,
        "num_written": num_written,
        "first": part.start,
        "last": part.stop,
        "num_documents": num_documents,
        "has_mask": has_mask,
        "sha256": sha256.hexdigest(),
        "entropy": entropy_of(counts),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))
