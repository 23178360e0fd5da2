"""Errors that the command line prints as one line instead of a traceback."""

import functools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import jax

P = ParamSpec("P")

# The end of an error of jax_npu's custom calls: the cause, then the remedy.
PRODUCT_ERROR = re.compile(r"xdna_gemm_\w+: .*")


class InputError(ValueError):
    """An input that the user can fix: what was required, what came, the way out."""


class TrainingError(Exception):
    """A run that ended before its last step: the cause, what is kept, the way out."""


class NpuError(Exception):
    """A product that the NPU could not compute: what failed, the cause, the remedy."""


@contextmanager
def npu_errors(what: str) -> Iterator[None]:
    """Raises `NpuError` if a product fails; `what` names the work that this ends."""
    try:
        yield
    except jax.errors.JaxRuntimeError as e:
        if (found := PRODUCT_ERROR.search(str(e))) is None:
            raise
        raise NpuError(f"{what} failed: {found[0].rstrip('.')}.") from e


def one_line_errors(main: Callable[P, int]) -> Callable[P, int]:
    """Makes `main` print an error in one line and return its exit code.

    2 is an input that the user can fix, 1 a failed NPU or run, 130 Ctrl-C (128 +
    SIGINT).
    """

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            with npu_errors("a product"):
                return main(*args, **kwargs)
        except (NpuError, TrainingError) as e:
            print(f"gpt2-flax: {e}", file=sys.stderr)
            return 1
        except (InputError, OSError) as e:
            print(f"gpt2-flax: {e}", file=sys.stderr)
            return 2
        except MemoryError as e:
            print(
                f"gpt2-flax: out of memory: {str(e).rstrip('.')}. A smaller "
                "--batch-size or model, --accumulate, --remat or --adapter takes less; "
                "gpt2-flax plan says how much.",
                file=sys.stderr,
            )
            return 2
        except KeyboardInterrupt:
            print("gpt2-flax: interrupted.", file=sys.stderr)
            return 130

    return wrapped
