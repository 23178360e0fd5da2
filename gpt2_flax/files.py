"""Files that are either the old one or the new one, whenever the program dies."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Has `write` fill a file next to `path`, which then takes its place."""
    partial = path.with_name(f".partial-{path.name}")
    partial.touch()
    mode = partial.stat().st_mode  # the umask's; safetensors would make it 0600
    write(partial)
    partial.chmod(mode)
    os.replace(partial, path)
