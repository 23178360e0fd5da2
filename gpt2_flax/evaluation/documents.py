"""The documents of `--data`, of any kind that training reads, to be evaluated."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from gpt2_flax.data.sources import find_sources
from gpt2_flax.data.stream import Stream
from gpt2_flax.data.text import store_of, stream_of
from gpt2_flax.errors import InputError
from gpt2_flax.evaluation.evaluate import Document
from gpt2_flax.tokenizers import Tokenizer


def documents_of(
    data: Sequence[str], tokenizer: Tokenizer, after_end_of_text: bool = False
) -> Iterator[Document]:
    """The documents in all sources, without the tokens that end them.

    With `after_end_of_text`, each begins with that token, so that its own first token
    is predicted as well.

    Raises:
      InputError: a source is not readable, or holds no text.
    """
    for source in find_sources(data):
        stream = stream_of(store_of([source], tokenizer), tokenizer.end_of_text)
        yield from documents_in(stream, source.name, after_end_of_text)


def documents_in(
    stream: Stream, name: str, after_end_of_text: bool = False
) -> Iterator[Document]:
    end = stream.end_of_text
    bounds = [*stream.starts.tolist(), len(stream.tokens)]
    for number, (first, last) in enumerate(pairwise(bounds), 1):
        if stream.tokens[last - 1] == end and last - 1 > first:
            last -= 1
        if stream.tokens[first] == end and not after_end_of_text:
            first += 1
        mask = stream.loss_mask
        counts = None if mask is None else mask[first:last]
        title = name if len(bounds) == 2 else f"{name}, {number}"
        yield Document(title, stream.tokens[first:last], counts)


def encoded_anew(
    documents: Iterable[Document], written: Tokenizer, tokenizer: Tokenizer
) -> Iterator[Document]:
    """The documents, whose tokens `written` made, as tokens of another tokenizer.

    Raises:
      InputError: only some of a document's tokens count.
    """
    for name, tokens, counts in documents:
        if counts is not None:
            raise InputError(
                f"in {name} only answers count, which another tokenizer cuts elsewhere;"
                " give the text with --data."
            )
        text = written.decode(tokens.tolist())
        yield Document(name, np.array(tokenizer.encode(text)))
