"""Many cases in one test, where a test for each would cost more than the case."""

from contextlib import contextmanager


@contextmanager
def named_case(*case):
    """Adds the case to what a failure in it says."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in the case {', '.join(map(str, case))}")
        raise
