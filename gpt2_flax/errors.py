"""What the command line prints as one line instead of a traceback."""

import functools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import jax

P = ParamSpec("P")

# What the custom calls of jax_npu end their errors with: cause, then remedy.
PRODUCT_ERROR = re.compile(r"xdna_gemm_\w+: .*")


class InputError(ValueError):
    """Something the user can mend: says what was required, what came, the way out."""


class NpuError(Exception):
    """The NPU gave up a product: what failed, the cause and the remedy."""


@contextmanager
def npu_errors(what: str) -> Iterator[None]:
    """Raises `NpuError` where a product fails; `what` names the whole that it ends."""
    try:
        yield
    except jax.errors.JaxRuntimeError as e:
        if (found := PRODUCT_ERROR.search(str(e))) is None:
            raise
        raise NpuError(f"{what} failed: {found[0].rstrip('.')}.") from e


def one_line_errors(main: Callable[P, int]) -> Callable[P, int]:
    """Exit code 2 for what the user can mend, 1 for the NPU, 130 for Ctrl-C."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            with npu_errors("a product"):
                return main(*args, **kwargs)
        except NpuError as e:
            print(f"gpt2-flax: {e}", file=sys.stderr)
            return 1
        except (InputError, OSError) as e:
            print(f"gpt2-flax: {e}", file=sys.stderr)
            return 2
        except MemoryError as e:
            print(
                f"gpt2-flax: out of memory: {str(e).rstrip('.')}. A smaller "
                "--batch-size, --seq-len or model takes less.",
                file=sys.stderr,
            )
            return 2
        except KeyboardInterrupt:
            print("gpt2-flax: interrupted.", file=sys.stderr)
            return 130

    return wrapped
