"""Models by their names on the Hugging Face Hub, through huggingface_hub's own cache.

Its environment variables hold: HF_HUB_OFFLINE, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN.
"""

import functools
import re
from importlib.util import find_spec
from pathlib import Path

from gpt2_flax.errors import InputError
from gpt2_flax.hf.tensors import FILES as WEIGHTS

# Short names that the Hub itself once had for OpenAI's models, and where they are.
OWNERS = {
    "distilgpt2": "distilbert/distilgpt2",
    **{
        name: f"openai-community/{name}"
        for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
    },
}
# owner/name or name, then the branch, tag or commit after an @
NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
SETTINGS = ("*.json", "merges.txt", "*.model", "*.jinja")  # config and tokenizer
SHARDS = (".safetensors", ".bin")


def folder_of(source: str | Path) -> Path:
    """The folder `source`, or the one with the files of the Hub's model of that name.

    A folder wins over a name. What the cache has is not downloaded again; without a
    network, or with HF_HUB_OFFLINE, the cache alone answers.

    Raises:
      InputError: there is no such folder, and no such name, or it cannot be reached.
    """
    folder = Path(source)
    if source and folder.exists():
        return folder
    found = NAME.fullmatch(str(source))
    if found is None:
        raise InputError(
            "--weights needs a folder in Hugging Face's format, a run, or a name on "
            f"the Hub such as openai-community/gpt2, and {str(source)!r} is none of "
            "them."
        )
    if find_spec("huggingface_hub") is None:
        raise InputError(
            f"{source} is no folder, and to find it on the Hugging Face Hub needs "
            "huggingface_hub: pip install 'jax-npu[hub]'."
        )
    name = OWNERS.get(found["name"], found["name"])
    return download(name, found["revision"])


@functools.cache
def download(name: str, revision: str | None) -> Path:
    """The snapshot of a model in huggingface_hub's cache, complete with its weights."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    def fetch(*patterns: str) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(patterns),
                endpoint=constants.ENDPOINT,
                cache_dir=constants.HF_HUB_CACHE,
                local_files_only=constants.HF_HUB_OFFLINE,
            )
        )

    try:
        folder = fetch(*SETTINGS)
        if not has_weights(folder):
            for file in WEIGHTS:  # the first format that there is, and no other
                suffix = Path(file).suffix
                folder = fetch(file, f"*-of-*{suffix}")
                if has_weights(folder):
                    break
        return folder
    except LocalEntryNotFoundError:
        where = "the cache has not" if constants.HF_HUB_OFFLINE else "was not found"
        raise InputError(
            f"{name} {where}, and the Hub ({constants.ENDPOINT}) cannot be asked: "
            "offline, or no connection. Download it where there is one, or give a "
            "folder."
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError) as e:
        reason = str(e).strip().splitlines()[-1][:200] if str(e) else type(e).__name__
        raise InputError(
            f"{name} is no folder here, and the Hub ({constants.ENDPOINT}) does not "
            f"give it: {reason.rstrip('.')}."
        ) from None


def has_weights(folder: Path) -> bool:
    """Whether a file of weights lies there, whole or as shards with all their parts."""
    if any((folder / name).exists() for name in WEIGHTS):
        return True
    return any(
        (folder / f"{name}.index.json").exists() and any(folder.glob(f"*-of-*{suffix}"))
        for name, suffix in zip(WEIGHTS, SHARDS)
    )
