"""Characters as tokens, numbered in the order of their code points, as in nanoGPT."""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers.protocol import (
    END_OF_TEXT,
    OWN_KIND,
    Cuts,
    Ids,
    encode_documents,
    pipeline,
    save_pipeline,
)

NUM_CODE_POINTS = 0x110000
UNKNOWN = NUM_CODE_POINTS  # no id


class CharTokenizer:
    """The tokens are `characters`, and one that ends a document if `has_end`."""

    name = "characters"
    cuts: Cuts = "anywhere"

    def __init__(self, characters: set[str], has_end: bool) -> None:
        self.characters = sorted(characters)
        self.end_of_text = len(characters) if has_end else None
        self.num_tokens = len(characters) + has_end
        spelled = "".join(self.characters).encode("utf-8", "surrogatepass")
        sha256 = hashlib.sha256(spelled).hexdigest()
        self.fingerprint = f"chars {has_end} {sha256}"

    @cached_property
    def _ids(self) -> NDArray[np.uint32]:
        """The id of each code point, (NUM_CODE_POINTS,)."""
        ids = np.full(NUM_CODE_POINTS, UNKNOWN, np.uint32)
        ids[[ord(c) for c in self.characters]] = np.arange(len(self.characters))
        return ids

    def encode(self, text: str) -> list[int]:
        return encode_documents(self, text)

    def encode_plain(self, text: str) -> Ids:
        code_points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ids: Ids = self._ids[code_points]
        if (unknown := np.flatnonzero(ids == UNKNOWN)).size:
            raise InputError(
                f"the run's {len(self.characters)} characters do not include "
                f"{text[unknown[0]]!r}; leave it out of the text, or train with "
                "--tokenizer bytes, which knows every text."
            )
        return ids

    def encode_each(self, texts: list[str]) -> list[Ids]:
        return [self.encode_plain(text) for text in texts]

    def decode(self, ids: list[int]) -> str:
        spelled = self.characters
        if self.end_of_text is not None:
            spelled = [*spelled, END_OF_TEXT]
        return "".join(spelled[i] for i in ids)

    def save(self, folder: Path) -> None:
        # Every character is a word. Without a token for others, the library refuses
        # texts that have them, as we do.
        model = {
            "type": "WordLevel",
            "vocab": {c: i for i, c in enumerate(self.characters)},
            "unk_token": "",
        }
        splitter = {
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},
            "behavior": "Isolated",
            "invert": False,
        }
        content = pipeline(model, splitter, {"type": "Fuse"}, self.end_of_text)
        settings = {OWN_KIND: "chars", "tokenizer_class": "PreTrainedTokenizerFast"}
        save_pipeline(folder, content, settings, self.end_of_text)
