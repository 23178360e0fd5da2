"""Files as bytes, decompressed; a damaged one is an error of one line."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, Any, cast

from gpt2_flax.data.sources import Source
from gpt2_flax.errors import InputError

BLOCK_BYTES = 1 << 22
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


@contextmanager
def open_binary(source: Source) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed.

    Raises:
      InputError: it is damaged, which may show while it is read.
    """
    damage: tuple[type[Exception], ...] = DAMAGE
    if source.compression == ".zst":
        damage = (*DAMAGE, zstandard(source).ZstdError)
    if source.compression == ".bz2":
        damage = (*DAMAGE, OSError, ValueError)
    try:
        with opened(source) as file:
            yield file
    except InputError:
        raise
    except damage as e:
        raise InputError(
            f"{source.name} is damaged: {str(e).rstrip('.')}. Fetch it again."
        ) from None


def opened(source: Source) -> IO[bytes]:
    path = source.path
    match source.compression:
        case ".gz":
            return cast(IO[bytes], gzip.open(path))
        case ".bz2":
            return cast(IO[bytes], bz2.open(path))
        case ".xz":
            return cast(IO[bytes], lzma.open(path))
        case ".zst":
            return cast(IO[bytes], zstandard(source).open(path, "rb"))
    return path.open("rb")


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def zstandard(source: Source) -> Any:
    return optional("zstandard", source.name)


def optional(module: str, name: str) -> Any:
    """A module of the extra [data]."""
    if find_spec(module) is None:
        raise InputError(f"{name} needs {module}: pip install 'jax-npu[data]'.")
    return __import__(module)
