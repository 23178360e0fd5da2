"""GPT-2's tokenizer, encoded by tiktoken."""

import re
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from gpt2_flax.tokenizers.gpt2_bpe import (
    NUM_TOKENS,
    VOCAB_SHA256,
    bpe_ranks_and_ids,
    gpt2_encoding,
)
from gpt2_flax.tokenizers.protocol import (
    END_OF_TEXT,
    Cuts,
    Ids,
    encode_documents,
    pipeline,
    save_json,
    save_pipeline,
)
from jax_npu.files import write_atomically

# Unicode's White_Space, which is the \s of GPT-2's pattern.
LONG_SPACE = re.compile(
    "[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]{1000,}"
)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}


class GPT2Tokenizer:
    name = "GPT-2's tokens"
    num_tokens = NUM_TOKENS
    end_of_text: int | None = NUM_TOKENS - 1
    # A word of its pattern has whitespace only at its beginning, or nothing else.
    cuts: Cuts = "before whitespace"
    fingerprint = f"gpt2 {VOCAB_SHA256}"

    @cached_property
    def _encoding(self):  # type: ignore[no-untyped-def]
        return gpt2_encoding()

    def encode(self, text: str) -> list[int]:
        return encode_documents(self, text)

    def encode_plain(self, text: str) -> Ids:
        encode = partial(self._encoding.encode_to_numpy, disallowed_special=())
        try:
            ids: Ids = encode(text)
        except ValueError:  # tiktoken's regex has room for a million spaces, not more
            ids = np.concatenate([encode(part) for part in at_long_spaces(text)])
        return ids

    def encode_each(self, texts: list[str]) -> list[Ids]:
        if len(texts) == 1:  # nothing to look for
            return [self.encode_plain(texts[0])]
        joined = END_OF_TEXT.join(texts)
        try:
            ids = self._encoding.encode_to_numpy(joined, allowed_special={END_OF_TEXT})
        except ValueError:
            return [self.encode_plain(text) for text in texts]
        ends = np.flatnonzero(ids == self.end_of_text)
        starts = [0, *(ends + 1)]
        return [ids[a:b] for a, b in zip(starts, [*ends, len(ids)], strict=True)]

    def decode(self, ids: list[int]) -> str:
        return str(self._encoding.decode(ids))

    def save(self, folder: Path) -> None:
        merges, ids = bpe_ranks_and_ids()
        ids = {**ids, END_OF_TEXT: NUM_TOKENS - 1}
        model = {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "vocab": ids,
            "merges": merges,
        }
        content = pipeline(model, BYTE_LEVEL, BYTE_LEVEL, self.end_of_text)
        settings = {
            "tokenizer_class": "GPT2Tokenizer",
            "add_prefix_space": False,
            "model_max_length": 1024,
        }
        lines = "\n".join(["#version: 0.2", *merges, ""])
        save_json(folder / "vocab.json", ids)
        write_atomically(
            folder / "merges.txt", lambda path: path.write_text(lines, "utf-8")
        )
        save_pipeline(folder, content, settings, self.end_of_text)


def at_long_spaces(text: str) -> Iterator[str]:
    """Parts that have the tokens of the whole, cut around long runs of whitespace.

    All but the last character of a run is one word of GPT-2's pattern, whose last
    alternatives are \\s+(?!\\S) and \\s.
    """
    start = 0
    for run in LONG_SPACE.finditer(text):
        yield text[start : run.start()]
        yield text[run.start() : run.end() - 1]
        start = run.end() - 1
    yield text[start:]
