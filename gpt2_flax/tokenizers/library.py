"""The tokenizer of a folder, encoded by Hugging Face's `tokenizers` library."""

import hashlib
import json
import shutil
import string
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2_flax.errors import InputError
from gpt2_flax.files import read_object
from gpt2_flax.tokenizers.protocol import END_OF_TEXT, Cuts, Ids, encode_documents

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

FILES = (  # that a run and an export keep
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
# The splitting of GPT-2's words, whose whitespace comes first or is all there is.
GPT2_SPLITTER = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


class FolderTokenizer:
    """The tokenizer in `folder`: tokenizer.json, or vocab.json and merges.txt.

    Raises:
      InputError: its files are damaged, or it has no token for a letter or a digit.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"the tokens of {folder}"
        self._folder = folder
        self._library = open_library(folder)
        self._library.no_truncation()
        self._library.no_padding()
        self.num_tokens = max(self._library.get_vocab().values(), default=-1) + 1
        self.end_of_text = self._find_end()
        content = self._library.to_str()
        self.cuts = cuts_of(json.loads(content))
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        self._require_text()

    def encode(self, text: str) -> list[int]:
        return encode_documents(self, text)

    def encode_plain(self, text: str) -> Ids:
        ids = self._library.encode(text, add_special_tokens=False).ids
        return np.array(ids, np.uint32)

    def encode_each(self, texts: list[str]) -> list[Ids]:
        found = self._library.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(one.ids, np.uint32) for one in found]

    def decode(self, ids: list[int]) -> str:
        return self._library.decode(ids, skip_special_tokens=False)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            if (path := self._folder / name).is_file():
                shutil.copyfile(path, folder / name)

    def _find_end(self) -> int | None:
        """The id of the token that the folder calls the end, or of END_OF_TEXT."""
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            token = read_settings(self._folder / name).get("eos_token")
            if isinstance(token, dict):
                token = token.get("content")
            if isinstance(token, str):
                return self._library.token_to_id(token)
        return self._library.token_to_id(END_OF_TEXT)

    def _require_text(self) -> None:
        for character in string.ascii_letters + string.digits:
            if not len(self.encode_plain(character)):
                raise InputError(
                    f"the tokenizer in {self._folder} has no token for {character!r}, "
                    "so texts would lose it; give the folder of another with "
                    "--tokenizer."
                )


def open_library(folder: Path) -> "LibraryTokenizer":
    if find_spec("tokenizers") is None:
        raise InputError(
            f"{folder} has a tokenizer of its own, which needs the library tokenizers: "
            "pip install tokenizers."
        )
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers import Tokenizer as LibraryTokenizer

    path = folder / "tokenizer.json"
    settings = read_settings(folder / "tokenizer_config.json")
    try:
        if path.is_file():
            return LibraryTokenizer.from_file(str(path))
        path = folder / "vocab.json"
        merges = str(folder / "merges.txt")
        byte_level = ByteLevelBPETokenizer.from_file(
            str(path), merges, add_prefix_space=bool(settings.get("add_prefix_space"))
        )
        special = [settings.get(f"{kind}_token") for kind in ("bos", "eos", "unk")]
        byte_level.add_special_tokens([t for t in special if isinstance(t, str)])
        library: LibraryTokenizer = byte_level._tokenizer
        return library
    except Exception as e:  # the library raises plain Exception
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise InputError(
            f"{path} cannot be read as a tokenizer: {reason}. Restore it, or give the "
            "folder of another with --tokenizer."
        ) from None


def read_settings(path: Path) -> dict[str, Any]:
    return read_object(path) if path.exists() else {}


def cuts_of(content: dict[str, Any]) -> Cuts:
    """Where texts may be cut for a tokenizer.json with that content."""
    splitter = {"use_regex": True, **(content.get("pre_tokenizer") or {})}
    splits_as_gpt2 = GPT2_SPLITTER.items() <= splitter.items()
    added = content.get("added_tokens") or []
    has_spaces = any(any(map(str.isspace, token["content"])) for token in added)
    strips = any(token.get("lstrip") or token.get("rstrip") for token in added)
    if splits_as_gpt2 and not (content.get("normalizer") or has_spaces or strips):
        return "before whitespace"
    return "nowhere"
