"""What an `aie.use_lock` asks of its lock, as one number of a configuration."""

from xdna.dialect.aie import UseLockOp


def lock_value(use: UseLockOp) -> int:
    """The number for an acquire or a release.

    Acquire waits for equality and takes nothing: it is below zero, -1 less the value.
    AcquireGreaterEqual takes its value.
    """
    return -1 - use.amount if use.action_name == "Acquire" else use.amount
