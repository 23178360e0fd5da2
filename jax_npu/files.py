"""Files that are written whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path


def require_folder_of(*paths: Path | None) -> None:
    """
    Raises:
      FileNotFoundError: where a file could not be written, before it is computed.
    """
    for path in paths:
        if path is not None and not path.resolve().parent.is_dir():
            raise FileNotFoundError(
                f"{path} cannot be written: there is no folder {path.parent}"
            )


def write_file(path: Path, data: bytes) -> None:
    """All of it or nothing, where `path` is a file; what is none is written into."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(f"{path} cannot be written: {error.strerror}") from None


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Has `write` fill a file next to `path`, which then takes its place."""
    partial = path.with_name(f".partial-{path.name}")
    partial.touch()
    mode = partial.stat().st_mode  # the umask's; safetensors would make it 0600
    write(partial)
    partial.chmod(mode)
    os.replace(partial, path)
