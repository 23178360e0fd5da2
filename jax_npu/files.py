"""Files that are written whole or not at all."""

from pathlib import Path


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
