"""The files that `--data` names: files, folders, globs, and standard input."""

import glob
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from gpt2_flax.errors import InputError

STDIN = "-"
PYTHON_DOCS = "python-docs"  # the default --data: no file, no download
# Suffixes of what a folder is searched for; a file that is named may have any.
KINDS = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".bin": "bin",
    ".npy": "npy",
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
# Kinds that are read from anywhere, not from the first byte to the last.
NOT_COMPRESSED = ("parquet", "npy")


class Source(NamedTuple):
    path: Path
    kind: str  # one of KINDS' values, or PYTHON_DOCS
    compression: str  # one of COMPRESSIONS, or ""
    name: str  # how messages call it


def find_sources(data: Iterable[str]) -> list[Source]:
    """The sources that `data` names, in its order, those of a folder sorted.

    Raises:
      InputError: a name stands for no file, or for one that cannot be read.
    """
    return [source for name in data for source in sources_of(name)]


def sources_of(name: str) -> Iterator[Source]:
    if name in (PYTHON_DOCS, STDIN):
        path = spooled_stdin() if name == STDIN else Path()
        kind = "text" if name == STDIN else PYTHON_DOCS
        yield Source(path, kind, "", "standard input" if name == STDIN else name)
    elif (path := Path(name)).is_dir():
        yield from files_in(path)
    elif path.exists():
        yield source_of(path)
    elif found := sorted(glob.glob(name, recursive=True)):
        for path in map(Path, found):
            yield from files_in(path) if path.is_dir() else [source_of(path)]
    else:
        raise InputError(
            f"--data needs text files, folders or patterns of them, and {name} "
            "is not one."
        )


def files_in(folder: Path) -> list[Source]:
    visible = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    texts = [path for path in visible if split_suffix(path)[0] in KINDS]
    if not texts:
        raise InputError(
            f"the folder {folder} has no file that ends in {', '.join(KINDS)}, or in "
            f"one of these and {', '.join(COMPRESSIONS)}; give its files by name."
        )
    if others := [path for path in visible if path not in texts]:
        kinds = ", ".join(sorted({path.suffix or path.name for path in others}))
        print(
            f"gpt2-flax: {folder}: {len(texts)} read, {len(others)} passed over "
            f"({kinds}); a file that is named is read as text",
            file=sys.stderr,
        )
    return [source_of(path) for path in texts]


def source_of(path: Path) -> Source:
    name = str(path)
    suffix, compression = split_suffix(path)
    kind = KINDS.get(suffix, "text")
    if suffix == ".json":
        raise InputError(
            f"{name} should have one record a line and be called .jsonl; "
            f"jq -c '.[]' {name} > {path.stem}.jsonl converts a list."
        )
    if compression and kind in NOT_COMPRESSED:
        raise InputError(f"{name} is read from anywhere in it; decompress it first.")
    if not path.is_file():  # a pipe, as of <(command), can be read only once
        path = spooled(path)
    return Source(path, kind, compression, name)


def split_suffix(path: Path) -> tuple[str, str]:
    """The suffix without, and that of, a compression: a.txt.gz has .txt and .gz."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        return (suffixes[-2] if len(suffixes) > 1 else "", suffixes[-1])
    return (suffixes[-1] if suffixes else "", "")


def spooled(path: Path) -> Path:
    if not stat.S_ISFIFO(path.stat().st_mode):
        raise InputError(
            f"--data needs text files, folders or patterns, and {path} is not one."
        )
    with path.open("rb") as file:
        return spool(lambda spool: shutil.copyfileobj(file, spool))


def spooled_stdin() -> Path:
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("--data - reads standard input, which is closed.")
    return spool(lambda spool: shutil.copyfileobj(sys.stdin.buffer, spool))


def spool(copy: Callable[..., object]) -> Path:
    """A file that has a name only in this process, filled by `copy`."""
    file = tempfile.TemporaryFile()  # noqa: SIM115, open until the process ends
    copy(file)
    file.flush()
    _spools.append(file)
    return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


_spools: list[object] = []  # keeps the files
