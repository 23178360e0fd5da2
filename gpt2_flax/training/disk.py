"""A full disk: one line, and the checkpoint before it is kept."""

import errno
import gc
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

FULL = (errno.ENOSPC, errno.EDQUOT)
# What errors of tensorstore, safetensors and numpy, which have no errno, say of these.
FULL_WORDS = (
    *("No space left on device", "Disk quota exceeded"),
    "requested and",  # "38400 requested and 33120 written", by ndarray.tofile
)
OTHER_BYTES = 1 << 20  # of a checkpoint besides its arrays, and of the metrics


class DiskFullError(Exception):
    """A file of the run that could not be written for lack of space."""


def require_space(out: Path, items: dict[str, Any]) -> None:
    """Raises DiskFullError if a checkpoint of `items` cannot be expected to fit."""
    arrays = jax.tree.leaves(items)
    needed = sum(array.nbytes for array in arrays) + OTHER_BYTES
    free = shutil.disk_usage(out).free
    if free < needed:
        raise DiskFullError(
            f"no space left on {out}: a checkpoint takes {needed / 1e6:.1f} MB, and "
            f"{free / 1e6:.1f} MB are free"
        )


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Raises DiskFullError for whatever error of a full disk comes from within."""
    # Orbax logs the tracebacks of its threads before it raises one of them.
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as e:
        if not is_full(e):
            raise
        forget_tracebacks(e)
        raise DiskFullError(f"no space left on {out}") from None
    finally:
        log.setLevel(level)


def is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(words in str(error) for words in FULL_WORDS)


def forget_tracebacks(error: BaseException) -> None:
    """Frees what Orbax was doing, without a word from its coroutines.

    Each would say on stderr that the event loop, which is gone, cannot end it.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    usual = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = usual
