"""What a tokenizer is to the rest of the program, and the files that all of them write.

Every tokenizer is saved in the form of Hugging Face's `tokenizers` library, so that
`AutoTokenizer` opens a run's folder and an export.
"""

from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.errors import InputError
from gpt2_flax.files import write_json

END_OF_TEXT = "<|endoftext|>"
OWN_KIND = "gpt2_flax"  # key of tokenizer_config.json: which of our own kinds it is

Ids = NDArray[np.uint32]
# Where a text may be cut so that its parts have the tokens of the whole: anywhere,
# before whitespace that follows something else, or nowhere.
Cuts = Literal["anywhere", "before whitespace", "nowhere"]


class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def num_tokens(self) -> int:
        """One more than the largest id."""

    @property
    def end_of_text(self) -> int | None:
        """The id that ends a document, which END_OF_TEXT in a text becomes."""

    @property
    def cuts(self) -> Cuts: ...

    @property
    def fingerprint(self) -> str:
        """The same for two tokenizers that give every text the same ids."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text; END_OF_TEXT in it is `end_of_text`.

        Raises:
          InputError: the tokenizer has no token for a part of it.
        """

    def encode_plain(self, text: str) -> Ids:
        """Ids (N,) of a text without END_OF_TEXT; other threads run meanwhile."""

    def encode_each(self, texts: list[str]) -> list[Ids]:
        """`encode_plain` of each text: many short ones take one call."""

    def decode(self, ids: list[int]) -> str:
        """The text of ids; what is no UTF-8 becomes the replacement character."""

    def save(self, folder: Path) -> None:
        """Writes the files that `load_tokenizer` and `AutoTokenizer` read."""


def encode_documents(tokenizer: Tokenizer, text: str) -> list[int]:
    """`Tokenizer.encode` of tokenizers without a token for END_OF_TEXT in a text."""
    first, *others = text.split(END_OF_TEXT)
    ids: list[int] = tokenizer.encode_plain(first).tolist()
    for document in others:
        ids += [require_end(tokenizer), *tokenizer.encode_plain(document).tolist()]
    return ids


def require_end(tokenizer: Tokenizer) -> int:
    if tokenizer.end_of_text is None:
        raise InputError(
            f"{tokenizer.name} have no token that ends a document, which {END_OF_TEXT} "
            "and a second document need; give the text as one document."
        )
    return tokenizer.end_of_text


def added_token(content: str, token_id: int) -> dict[str, Any]:
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    fields = {"id": token_id, "content": content, "special": True}
    return fields | dict.fromkeys(flags, False)


def pipeline(
    model: dict[str, Any],
    splitter: dict[str, Any],
    decoder: dict[str, Any],
    end_of_text: int | None,
) -> dict[str, Any]:
    """The content of a `tokenizer.json`."""
    added = [] if end_of_text is None else [added_token(END_OF_TEXT, end_of_text)]
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor"))
    return {
        "version": "1.0",
        **nothing,
        "added_tokens": added,
        "pre_tokenizer": splitter,
        "decoder": decoder,
        "model": model,
    }


def special_tokens(end_of_text: int | None) -> dict[str, Any]:
    """The keys of `tokenizer_config.json` for END_OF_TEXT, GPT-2's only special one."""
    if end_of_text is None:
        return {}
    kinds = ("bos_token", "eos_token", "unk_token")
    return dict.fromkeys(kinds, END_OF_TEXT)


def save_pipeline(
    folder: Path,
    content: dict[str, Any],
    settings: dict[str, Any],
    end_of_text: int | None,
) -> None:
    """Writes `tokenizer.json`, and `tokenizer_config.json` of the settings."""
    save_json(folder / "tokenizer.json", content)
    settings = settings | special_tokens(end_of_text)
    save_json(folder / "tokenizer_config.json", settings)


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a file of a tokenizer, as the library writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content, indent=1, ascii_only=False)
