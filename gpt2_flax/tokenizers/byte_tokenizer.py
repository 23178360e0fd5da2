"""Bytes as tokens: each byte of the UTF-8 text is its own id, and 256 ends a text."""

from pathlib import Path
from typing import Any

import numpy as np

from gpt2_flax.tokenizers.protocol import (
    OWN_KIND,
    Cuts,
    Ids,
    encode_documents,
    pipeline,
    save_pipeline,
)

END_ID = 256


class ByteTokenizer:
    name = "bytes"
    num_tokens = END_ID + 1
    end_of_text: int | None = END_ID
    cuts: Cuts = "anywhere"
    fingerprint = "bytes"

    def encode(self, text: str) -> list[int]:
        return encode_documents(self, text)

    def encode_plain(self, text: str) -> Ids:
        return np.frombuffer(text.encode(), np.uint8).astype(np.uint32)

    def encode_each(self, texts: list[str]) -> list[Ids]:
        return [self.encode_plain(text) for text in texts]

    def decode(self, ids: list[int]) -> str:
        known = bytearray()
        for token in ids:
            known += b"<|endoftext|>" if token == END_ID else bytes([token])
        return known.decode(errors="replace")

    def save(self, folder: Path) -> None:
        splitter = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        }
        model: dict[str, Any] = {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "vocab": {character: i for i, character in enumerate(byte_characters())},
            "merges": [],
        }
        content = pipeline(model, splitter, splitter, END_ID)
        settings = {OWN_KIND: "bytes", "tokenizer_class": "PreTrainedTokenizerFast"}
        save_pipeline(folder, content, settings, END_ID)


def byte_characters() -> list[str]:
    """The character by which byte-level BPE files spell each byte.

    A printable byte of Latin-1 is spelt as itself, the others from U+0100 on, as in
    `bytes_to_unicode` of OpenAI's GPT-2.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(b if b in printable else next(others)) for b in range(256)]
