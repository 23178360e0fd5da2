"""The tokens of `--data`: a part for training, and one for validation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpt2_flax.data.cache import stored, tokens_of
from gpt2_flax.data.progress import show_tokenizing
from gpt2_flax.data.reading.read import texts_of
from gpt2_flax.data.sources import STDIN, Source, find_sources
from gpt2_flax.data.store import TokenStore
from gpt2_flax.data.stream import Ids, Stream
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import END_OF_TEXT, Tokenizer, load_tokenizer
from gpt2_flax.tokenizers.char_tokenizer import CharTokenizer

VALIDATION_SHARE = 0.1  # of the tokens, at the end of the text


class Split(NamedTuple):
    train: Ids  # (N,)
    validation: Ids  # (M,)


class Text(NamedTuple):
    """The tokens of all sources, and of those given for validation alone."""

    name: str
    tokens: TokenStore
    validation: TokenStore | None
    tokenizer: Tokenizer

    @property
    def sha256(self) -> str:
        """By which a resumed run knows its text."""
        both = [self.tokens.sha256]
        if self.validation is not None:
            both.append(self.validation.sha256)
        return "+".join(both)


def load_text(
    data: Sequence[str],
    tokenizer: Tokenizer,
    validation: Sequence[str] = (),
    keys: Sequence[str] = (),
) -> Text:
    """The tokens of `data` and `validation`, tokenized unless the cache has them.

    With the `keys` that a text's stores had, standard input is not read again.

    Raises:
      InputError: a source is not readable, or holds no text.
    """
    names = [data, validation] if validation else [data]
    stores = []
    for i, name in enumerate(names):
        store = stored(keys[i]) if STDIN in name and i < len(keys) else None
        stores.append(store or store_of(find_sources(name), tokenizer))
    more = stores[1] if validation else None
    return Text(", ".join(data), stores[0], more, tokenizer)


def store_of(sources: list[Source], tokenizer: Tokenizer) -> TokenStore:
    with show_tokenizing(sources) as advance:
        return tokens_of(sources, tokenizer, advance)


def characters_of(data: Sequence[str]) -> CharTokenizer:
    """The tokenizer of the characters in `data`."""
    characters: set[str] = set()
    num_documents = 0
    for source in find_sources(data):
        for piece in texts_of(source, "anywhere"):
            texts = str(piece.content).split(END_OF_TEXT)
            num_documents += len(texts) - 1 + piece.ends
            characters.update(*texts)
    if not characters:
        raise InputError(f"{', '.join(data)} is empty; give a file with text.")
    return CharTokenizer(characters, has_end=num_documents > 1)


def split_streams(text: Text, seq_len: int, by_document: bool) -> tuple[Stream, Stream]:
    """The streams for training and for validation.

    `by_document` cuts between two documents.

    Raises:
      InputError: one is too short for a window of `seq_len` and a target.
    """
    end = text.tokenizer.end_of_text
    whole = stream_of(text.tokens, end)
    if text.validation is not None:
        parts = whole, stream_of(text.validation, end)
    else:
        size = len(whole.tokens)
        at = size - int(size * VALIDATION_SHARE)
        if by_document and len(whole.starts) > 1:
            after = int(np.searchsorted(whole.starts, at))
            at = int(whole.starts[min(after, len(whole.starts) - 1)])
            # The token that ends the last document of one begins the other.
            parts = whole.part(0, at + 1), whole.part(at, size)
        else:
            parts = whole.part(0, at), whole.part(at, size)
    least = 1 if by_document else seq_len
    if len(parts[1].tokens) <= least or len(parts[0].tokens) <= least:
        raise InputError(
            f"{text.name} has {len(whole.tokens)} tokens, and the last "
            f"{VALIDATION_SHARE:.0%} of them, for validation, must be more than "
            f"--seq-len {seq_len}; give a longer text or a smaller --seq-len."
        )
    return parts


def stream_of(store: TokenStore, end_of_text: int | None) -> Stream:
    last = len(store.tokens) - 1
    starts = store.starts[store.starts < last] if last else store.starts
    return Stream(store.tokens, store.loss_mask, np.asarray(starts), end_of_text)


def load_split(data: str | Sequence[str], seq_len: int) -> Split:
    """GPT-2's tokens of one or several sources, for training and validation."""
    sources = [data] if isinstance(data, str) else data
    text = load_text(sources, load_tokenizer())
    train, validation = split_streams(text, seq_len, by_document=False)
    return Split(train.tokens, validation.tokens)
