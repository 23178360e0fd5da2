"""The cache of tokens, by the content of the sources and the tokenizer.

A folder appears in it whole or not at all. One that is being written has another name,
and is locked: what a killed process left is unlocked, and deleted by the next one.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpt2_flax.data.reading.python_docs import python_docs
from gpt2_flax.data.sources import PYTHON_DOCS, Source
from gpt2_flax.data.store import FORMAT, TokenStore, open_store
from gpt2_flax.data.writing import Advance, write_tokens
from gpt2_flax.errors import InputError
from gpt2_flax.tokenizers import Tokenizer
from jax_npu.runtime.cache.folder import cache_folder

CACHE = "GPT2_FLAX_CACHE"  # variable with the folder of the cache
PARTIAL = ".{}.partial"
LOCK = ".{}.lock"


def tokens_of(
    sources: list[Source], tokenizer: Tokenizer, advance: Advance = lambda _: None
) -> TokenStore:
    """The tokens of the sources, from the cache if they are there.

    Raises:
      InputError: a source cannot be read, or there is no token in any.
      OSError: the cache cannot be written.
    """
    root = tokens_root()
    folder = root / content_key(sources, tokenizer)
    if store := open_store(folder):
        return store
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        delete_stale(root)
        with partial_folder(root) as partial:
            write_tokens(partial, sources, tokenizer, advance)
            put(partial, folder)
    if store := open_store(folder):
        return store
    raise InputError(f"{folder} was damaged while it was read; start again.")


def stored(key: str) -> TokenStore | None:
    """The tokens of that key, if the cache has them."""
    return open_store(tokens_root() / key)


def tokens_root() -> Path:
    folder = os.environ.get(CACHE)
    return Path(folder) if folder else cache_folder() / "tokens"


def content_key(sources: Iterable[Source], tokenizer: Tokenizer) -> str:
    contents = [[s.kind, s.compression, content_sha256(s)] for s in sources]
    known = json.dumps([FORMAT, tokenizer.fingerprint, contents])
    return hashlib.sha256(known.encode()).hexdigest()


def content_sha256(source: Source) -> str:
    if source.kind == PYTHON_DOCS:
        return hashlib.sha256(python_docs().encode()).hexdigest()
    with source.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def partial_folder(root: Path) -> Iterator[Path]:
    """A folder to write to, locked, and deleted at the end unless it is moved."""
    name = uuid.uuid4().hex
    lock_path = root / LOCK.format(name)
    folder = root / PARTIAL.format(name)
    with locked(lock_path):
        try:
            folder.mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock_path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A file that is locked while the process lives."""
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have taken the file for a dead one's before it was locked.
        if os.fstat(lock.fileno()).st_nlink:
            yield
            return
    with locked(path):
        yield


def delete_stale(root: Path) -> None:
    """Deletes the partial folders whose writers are gone."""
    for path in root.glob(LOCK.format("*")):
        with suppress(BlockingIOError, FileNotFoundError), path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name = path.name.removeprefix(".").removesuffix(".lock")
            shutil.rmtree(root / PARTIAL.format(name), ignore_errors=True)
            path.unlink()


def put(partial: Path, folder: Path) -> None:
    """Moves a whole folder to its place, unless another process was faster."""
    try:
        partial.replace(folder)
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if open_store(folder) is None:  # damaged
            shutil.rmtree(folder)
            partial.replace(folder)


@contextmanager
def explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        if e.filename is not None and not str(e.filename).startswith(str(root)):
            raise
        raise OSError(
            f"the tokens cannot be kept in {root}: {e.strerror or e}; set "
            f"{CACHE} to a folder that can be written, with room for them."
        ) from None
