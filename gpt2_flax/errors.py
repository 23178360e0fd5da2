"""What the command line prints as one line instead of a traceback."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


class InputError(ValueError):
    """Something the user can mend: says what was required, what came, the way out."""


def one_line_errors(main: Callable[P, int]) -> Callable[P, int]:
    """Exit code 2 for what the user can mend, 130 for Ctrl-C."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
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
