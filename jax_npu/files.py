"""Writes files and folders whole or not at all."""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".{}.{}.partial"  # the name of the file, and what makes it unique


def require_folder_of(*paths: Path | None) -> None:
    """Checks, before anything is computed, that files can be written.

    Raises:
      FileNotFoundError: if the folder of one does not exist.
    """
    for path in paths:
        if path is not None and not path.resolve().parent.is_dir():
            raise FileNotFoundError(
                f"{path} cannot be written: there is no folder {path.parent}"
            )


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file by one with that content, or leaves it as it was.

    A path that is something else, such as /dev/stdout, is written into.

    Raises:
      OSError: if it cannot be written.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    try:
        write_atomically(path, lambda partial: partial.write_bytes(data))
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from None


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Has `write` fill a file beside `path`, which then takes its place.

    Whenever the program ends, `path` is the old file or the new one.
    """
    partial = _beside(path)
    try:
        partial.touch(exist_ok=False)
        mode = partial.stat().st_mode  # the umask's; safetensors would make it 0600
        write(partial)
        partial.chmod(mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_folder_atomically(path: Path, fill: Callable[[Path], object]) -> None:
    """Has `fill` fill a new folder beside `path`, which is then called `path`.

    Whenever the program ends, `path` is there with all of its files, or is not there.

    Raises:
      OSError: `path` is there already, and not an empty folder.
    """
    partial = _beside(path)
    try:
        partial.mkdir()
        fill(partial)
        partial.replace(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _beside(path: Path) -> Path:
    """A name of its own: other processes and threads may be writing the same file."""
    return path.with_name(PARTIAL.format(path.name, uuid.uuid4().hex[:8]))


def partial_files(path: Path) -> list[Path]:
    """What processes that were killed while they wrote `path` have left beside it.

    Files, or folders where `path` is one.
    """
    return list(path.parent.glob(PARTIAL.format(path.name, "*")))
