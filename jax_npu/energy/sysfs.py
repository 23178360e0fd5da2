"""Files of sysfs, read with errors that name the file as the machine calls it."""

from pathlib import Path

from jax_npu.energy.readings import NotMeasuredError


def read_text(root: Path, path: Path) -> str:
    """
    Raises:
      NotMeasuredError: the file is gone, or the driver or the user may not read it.
    """
    try:
        return path.read_text(errors="replace").strip()
    except OSError as error:
        name = name_of(root, path)
        raise NotMeasuredError(f"{name}: {error.strerror}") from error


def read_integer(root: Path, path: Path) -> int:
    """
    Raises:
      NotMeasuredError: as `read_text`, or the file holds no integer.
    """
    text = read_text(root, path)
    try:
        return int(text)
    except ValueError:
        name = name_of(root, path)
        raise NotMeasuredError(f"{name} holds {text!r}, no number") from None


def name_of(root: Path, path: Path) -> str:
    """The path as it is on the machine whose files lie below `root`."""
    return f"/{path.relative_to(root)}"
