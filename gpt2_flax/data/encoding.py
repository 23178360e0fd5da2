"""Pieces to tokens, several at a time on threads, in their order.

A document begins with the token that ends a text, which so ends the one before it: it
is the last target of one document and the first input of the next.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.data.reading.pieces import PIECE_CHARS, Piece
from gpt2_flax.tokenizers import END_OF_TEXT, Tokenizer
from gpt2_flax.tokenizers.protocol import Ids

WAITING_PER_THREAD = 2  # tasks that are read or tokenized but not written yet


class Task(NamedTuple):
    """Pieces that are tokenized at once, and what came before them."""

    pieces: list[Piece]
    begins: bool  # whether a document begins with them
    after_end: bool  # whether the token before them is the one that ends a text
    counted: bool  # whether the loss of the token before them counts


class Encoded(NamedTuple):
    ids: Ids  # (N,)
    counts: NDArray[np.bool_] | None  # (N,), None where all of them count
    num_documents: int  # that begin in it
    num_bytes: int  # of UTF-8, or of tokens in files


def encode_pieces(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Iterator[Encoded]:
    """The tokens of the pieces, which are read no faster than they are tokenized."""
    num_threads = len(os.sched_getaffinity(0))
    pool = ThreadPoolExecutor(num_threads, "tokenize")
    waiting: deque[Future[Encoded]] = deque()
    try:
        for task in tasks(pieces, tokenizer.end_of_text):
            waiting.append(pool.submit(encode_task, task, tokenizer))
            if len(waiting) > WAITING_PER_THREAD * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def tasks(pieces: Iterable[Piece], end_of_text: int | None) -> Iterator[Task]:
    gathered: list[Piece] = []
    size = 0
    begins, after_end, counted = True, False, True
    for piece in pieces:
        gathered.append(piece)
        size += len(piece.content)
        if size < PIECE_CHARS:
            continue
        yield Task(gathered, begins, after_end, counted)
        begins, counted = piece.ends_document, piece.counts
        is_text = isinstance(piece.content, str)
        after_end = not is_text and piece.content[-1] == end_of_text
        gathered, size = [], 0
    if gathered:
        yield Task(gathered, begins, after_end, counted)


def encode_task(task: Task, tokenizer: Tokenizer) -> Encoded:
    end = tokenizer.end_of_text
    _, begins, after_end, counted = task
    parts: list[Ids] = []
    lengths, flags = [], []
    num_documents = num_bytes = 0

    def add(ids: Ids, counts: bool) -> None:
        parts.append(ids)
        lengths.append(len(ids))
        flags.append(counts)

    for piece, documents in zip(task.pieces, documents_in(task.pieces, tokenizer)):
        num_bytes += size_of(piece)
        for i, ids in enumerate(documents):
            if i:
                begins, counted = True, piece.counts
            if not len(ids):
                continue
            if begins:
                num_documents += 1
                if end is not None and not after_end and ids[0] != end:
                    add(np.array([end], np.uint32), counted)
            add(ids, piece.counts)
            begins, after_end, counted = False, ids[-1] == end, piece.counts
        begins = begins or piece.ends
    all_ids = np.concatenate(parts) if parts else np.empty(0, np.uint32)
    counts = None if all(flags) else np.repeat(flags, lengths)
    return Encoded(all_ids, counts, num_documents, num_bytes)


def documents_in(pieces: list[Piece], tokenizer: Tokenizer) -> Iterator[list[Ids]]:
    """The tokens of each piece, in the parts between END_OF_TEXT in it."""
    parts = [
        piece.content.split(END_OF_TEXT) if isinstance(piece.content, str) else []
        for piece in pieces
    ]
    encoded = iter(tokenizer.encode_each([text for texts in parts for text in texts]))
    for piece, texts in zip(pieces, parts):
        if isinstance(piece.content, str):
            yield [next(encoded) for _ in texts]
        else:
            yield [piece.content]


def size_of(piece: Piece) -> int:
    """Its bytes, in UTF-8 or in a file of 16-bit tokens."""
    if isinstance(piece.content, str):
        is_ascii = piece.content.isascii()
        return len(piece.content) if is_ascii else len(piece.content.encode())
    return 2 * len(piece.content)
