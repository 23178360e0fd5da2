"""The documents of `--data`, of any kind that training reads, to be evaluated."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from gpt2_flax.data.sources import Source, find_sources
from gpt2_flax.data.text import store_of, stream_of
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
        yield from documents_in(source, tokenizer, after_end_of_text)


def documents_in(
    source: Source, tokenizer: Tokenizer, after_end_of_text: bool
) -> Iterator[Document]:
    end = tokenizer.end_of_text
    stream = stream_of(store_of([source], tokenizer), end)
    bounds = [*stream.starts.tolist(), len(stream.tokens)]
    for number, (first, last) in enumerate(pairwise(bounds), 1):
        if stream.tokens[last - 1] == end and last - 1 > first:
            last -= 1
        if stream.tokens[first] == end and not after_end_of_text:
            first += 1
        mask = stream.loss_mask
        name = source.name if len(bounds) == 2 else f"{source.name}, {number}"
        counts = None if mask is None else mask[first:last]
        yield Document(name, stream.tokens[first:last], counts)
