"""Checks whether the tokenizer of a Hugging Face folder is GPT-2's own.

Contents are compared, not bytes, as each version of transformers writes other files.
With settings that change the ids of a text, or with added tokens, it is not.
"""

from pathlib import Path
from typing import Any, NoReturn

from gpt2_flax.errors import InputError
from gpt2_flax.files import read_object, require_file
from gpt2_flax.tokenizers.gpt2_bpe import NUM_TOKENS, bpe_ranks_and_ids
from gpt2_flax.tokenizers.protocol import END_OF_TEXT

# Files with the vocabulary of another kind of tokenizer.
FOREIGN = (
    "spiece.model",
    "spm.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "vocab.txt",
    "bpe.codes",
)
CLASSES = (
    None,
    "AutoTokenizer",
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)
# Keys of tokenizer_config.json that can change a text's ids, and values that do not.
SETTINGS: dict[str, tuple[Any, ...]] = {
    "tokenizer_class": CLASSES,
    "add_prefix_space": (None, False),
    "add_bos_token": (None, False),
    "add_eos_token": (None, False),
    "do_lower_case": (None, False),
    "split_special_tokens": (None, False),
    "auto_map": (None,),
}
# Keys for lists of further special tokens.
MORE_SPECIAL = ("additional_special_tokens", "extra_special_tokens")
# Parts of tokenizer.json's BPE model, and their values in plain byte-level BPE.
BPE: dict[str, tuple[Any, ...]] = {
    "type": (None, "BPE"),
    "dropout": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}
SPLITTER: dict[str, tuple[Any, ...]] = {
    "type": ("ByteLevel",),
    "add_prefix_space": (False,),
    "use_regex": (None, True),
}
END_ID = NUM_TOKENS - 1


def check_tokenizer(folder: Path) -> None:
    """Checks every file of the folder that could give a text other ids than GPT-2's.

    Raises:
      InputError: one of them does.
    """
    for name in FOREIGN:
        if (folder / name).exists():
            refuse(folder / name, "holds the vocabulary of another kind of tokenizer")
    if (path := folder / "config.json").is_file():
        check_values(path, read_object(path), {"tokenizer_class": CLASSES})
    if (path := folder / "merges.txt").exists():
        check_merges(path, read_merges(path))
    checks = {
        "vocab.json": check_vocabulary,
        "added_tokens.json": check_added,
        "special_tokens_map.json": check_special,
        "tokenizer_config.json": check_settings,
        "tokenizer.json": check_pipeline,
    }
    for name, check in checks.items():
        if not (path := folder / name).exists():
            continue
        fields = read_object(path)
        try:
            check(path, fields)
        except (AttributeError, TypeError):  # a list for an object and the like
            refuse(path, "is not laid out as transformers writes it")


def refuse(path: Path, what: str) -> NoReturn:
    raise InputError(
        f"{path} {what}; the tokenizer is neither GPT-2's nor one that a "
        "tokenizer.json describes. Give weights with one of these, or delete the file "
        "if they were trained with GPT-2's."
    )


def check_values(
    path: Path, fields: dict[str, Any], supported: dict[str, tuple[Any, ...]]
) -> None:
    for key, allowed in supported.items():
        if (value := fields.get(key)) not in allowed:
            refuse(path, f"has {key} = {short(value)}")


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:80]}..."


def check_vocabulary(path: Path, ids: Any) -> None:
    ours = bpe_ranks_and_ids()[1]
    if not isinstance(ids, dict):
        refuse(path, "has no vocabulary that maps tokens to ids")
    # Some files have END_OF_TEXT only among the added tokens.
    if (theirs := {END_OF_TEXT: END_ID, **ids}) != ours:
        others = sorted(token for token, i in theirs.items() if ours.get(token) != i)
        example = f" (for example {others[0]!r})" if others else ""
        refuse(path, f"has a vocabulary of {len(ids)} tokens, not GPT-2's{example}")


def check_merges(path: Path, merges: list[Any]) -> None:
    if merges != bpe_ranks_and_ids()[0]:
        refuse(path, f"has {len(merges)} merges that are not GPT-2's")


def read_merges(path: Path) -> list[str]:
    require_file(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8: {e}.") from None
    return [line for line in lines if line.strip() and not line.startswith("#version")]


def check_added(path: Path, ids: dict[str, Any]) -> None:
    for token, i in ids.items():
        check_token(path, "the added token", token, i)


def check_token(path: Path, what: str, token: Any, token_id: Any = END_ID) -> None:
    """Checks that an added or special token is END_OF_TEXT with its own id."""
    options = token if isinstance(token, dict) else {"content": token}
    if (content := options.get("content")) != END_OF_TEXT:
        refuse(path, f"has {what} {short(content)}")
    if str(token_id) != str(END_ID):
        refuse(path, f"has {what} {content!r} with id {token_id}, not {END_ID}")
    for key in ("lstrip", "rstrip", "single_word"):
        if options.get(key):
            refuse(path, f"has {key} = {options[key]!r} for {what} {content!r}")


def check_special(path: Path, fields: dict[str, Any]) -> None:
    for key, token in fields.items():
        if key.endswith("_token") and isinstance(token, str | dict):  # add_* are bool
            check_token(path, key, token)
    for key in MORE_SPECIAL:
        more = fields.get(key) or []
        tokens = more.values() if isinstance(more, dict) else more
        for token in tokens:
            check_token(path, f"one of {key}", token)


def check_settings(path: Path, fields: dict[str, Any]) -> None:
    check_values(path, fields, SETTINGS)
    check_special(path, fields)
    for token_id, token in (fields.get("added_tokens_decoder") or {}).items():
        check_token(path, "the added token", token, token_id)


def check_pipeline(path: Path, fields: dict[str, Any]) -> None:
    """Checks that `tokenizer.json` has the stages of GPT-2's tokenizer and no more."""
    model = fields.get("model")
    if not isinstance(model, dict):
        refuse(path, f"has model = {short(model)}")
    check_values(path, model, BPE)
    check_vocabulary(path, model.get("vocab"))
    merges = model.get("merges") or []  # "a b", since tokenizers 0.20 ["a", "b"]
    check_merges(path, [m if isinstance(m, str) else " ".join(m) for m in merges])
    for token in fields.get("added_tokens") or []:
        check_token(path, "the added token", token, token.get("id"))
    if (normalizer := fields.get("normalizer")) is not None:
        refuse(path, f"has normalizer = {short(normalizer)}")
    check_values(path, fields.get("pre_tokenizer") or {}, SPLITTER)
    check_template(path, fields.get("post_processor") or {})


def check_template(path: Path, processor: dict[str, Any]) -> None:
    """Checks that the post-processor adds no token to a text."""
    adds = [part for part in processor.get("single", []) if "Sequence" not in part]
    kinds = ("ByteLevel", "TemplateProcessing", None)
    if processor.get("type") not in kinds or adds:
        refuse(path, f"has post_processor = {short(processor)}")
