"""Which tokenizer a name or a folder stands for."""

import json
from pathlib import Path

from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers.byte_tokenizer import ByteTokenizer
from gpt2_flax.tokenizers.char_tokenizer import CharTokenizer
from gpt2_flax.tokenizers.gpt2 import GPT2Tokenizer
from gpt2_flax.tokenizers.gpt2_files import check_tokenizer
from gpt2_flax.tokenizers.library import FolderTokenizer, read_settings
from gpt2_flax.tokenizers.protocol import OWN_KIND, Tokenizer

GPT2, BYTES, CHARS = "gpt2", "bytes", "chars"
RUNS = "tokenizer"  # folder in a run's folder


def load_tokenizer(spec: str | Path = GPT2) -> Tokenizer:
    """GPT-2's tokenizer for "gpt2", bytes for "bytes", else that of a folder.

    A folder without the files of a tokenizer has GPT-2's; a run has it in `tokenizer/`.

    Raises:
      InputError: there is none, or its files are damaged.
    """
    if spec == GPT2:
        return GPT2Tokenizer()
    if spec == BYTES:
        return ByteTokenizer()
    folder = Path(spec)
    if folder.name == "tokenizer.json" and folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(
            f"--tokenizer must be {GPT2}, {BYTES}, {CHARS} or a folder with a "
            f"tokenizer.json, got {spec}."
        )
    return tokenizer_of_folder(folder)


def tokenizer_of_folder(folder: Path) -> Tokenizer:
    if (folder / RUNS).is_dir():
        folder = folder / RUNS
    kind = read_settings(folder / "tokenizer_config.json").get(OWN_KIND)
    if kind == BYTES:
        return ByteTokenizer()
    if kind == CHARS:
        return saved_characters(folder)
    has_its_own = (folder / "tokenizer.json").is_file() or all(
        (folder / name).is_file() for name in ("vocab.json", "merges.txt")
    )
    try:
        check_tokenizer(folder)
    except InputError:
        if not has_its_own:
            raise
        return FolderTokenizer(folder)
    return GPT2Tokenizer()


def saved_characters(folder: Path) -> CharTokenizer:
    path = folder / "tokenizer.json"
    try:
        content = json.loads(path.read_text("utf-8"))
        characters = set(content["model"]["vocab"])
        has_end = bool(content["added_tokens"])
        if not all(len(c) == 1 for c in characters):
            raise ValueError("a token has more than one character")
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path} is damaged: {e}; restore it.") from None
    return CharTokenizer(characters, has_end)
