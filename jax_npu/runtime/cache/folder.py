"""The user's cache folder, with errors that say what to do if it cannot be written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jax_npu.files import write_atomically


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "jax-npu"


def make_folder(path: Path) -> Path:
    """Makes a folder of the cache.

    Raises:
      OSError: if it cannot be made or written to.
    """
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return path


def write_once(path: Path, content: bytes) -> Path:
    """The path of a file with that content, written unless it is there already.

    Raises:
      OSError: if it cannot be written.
    """
    with _explained(path.parent):
        if path.exists() and path.read_bytes() == content:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: partial.write_bytes(content))
    return path


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            f"the design cannot be kept in {folder}: {error.strerror}; set "
            "XDG_CACHE_HOME to a folder that can be written"
        ) from None
