"""Ctrl-C in work that must not be cut in two."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Ctrl-C in this block acts at its end; a second one at once, as usual.

    Libraries that run event loops or threads of their own turn a KeyboardInterrupt in
    their middle into errors that look like damaged files. Whatever the block raises
    after a Ctrl-C, that is what the caller gets.
    """
    if (
        threading.current_thread() is not threading.main_thread()  # has no handlers
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    was_interrupted = False

    def note(signum: int, frame: object) -> None:
        nonlocal was_interrupted
        was_interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if was_interrupted:
            raise KeyboardInterrupt
